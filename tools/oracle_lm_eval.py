#!/usr/bin/env python3
"""Compares carat's choice metrics with lm-evaluation-harness on the same items, item by item.

    tools/oracle_lm_eval.py --carat build/release/bin/carat [--model FILE.gguf] [--items FILE.jsonl]... [--limit N]

lm-evaluation-harness runs local task files; its log-likelihoods come from llama.cpp's logits. Without --model:
golden/stories260K.gguf on questions cut from golden/text. FILE.jsonl has lines with "query", "choices" and "gold", or
with "context" and "continuation" (is the continuation what greedy decoding says?). Items may differ only where
rounding decides: where two choices are nearly equally likely. Exits 1 if more differs. Needs lm_eval, gguf, numpy,
xllamacpp.
"""
import argparse, ctypes, json, logging, os, random, re, subprocess, sys, tempfile

SCRATCH = tempfile.TemporaryDirectory()  # nothing is left in the user's caches, nothing is fetched
os.environ.update(HF_HOME=SCRATCH.name, HF_DATASETS_CACHE=SCRATCH.name, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1",
                  TOKENIZERS_PARALLELISM="false", TQDM_DISABLE="1")

import lm_eval
import numpy as np
from lm_eval.api.model import TemplateLM
from lm_eval.tasks import TaskManager

from oracle_engine import GOLDEN, ROOT, Llama

NEARLY = 0.1  # nats between two choices within which rounding may decide


class LlamaCpp(TemplateLM):
    """lm-evaluation-harness's view of a model, on llama.cpp's logits."""

    def __init__(self, path, n_ctx, threads):
        super().__init__()
        self.llama, self.n_ctx = Llama(), n_ctx
        c = self.c = self.llama.c
        self.model = c.llama_model_load_from_file(path.encode(), c.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp does not load {path}")
        self.vocab = c.llama_model_get_vocab(self.model)
        params = c.llama_context_default_params()
        params.head[0] = params.head[1] = n_ctx
        self.context = c.llama_init_from_model(self.model, params)
        c.llama_set_n_threads(self.context, threads, threads)
        self.batch = c.llama_batch_init(n_ctx, 0, 1)
        self.words = c.llama_vocab_n_tokens(self.vocab)

    @property
    def eot_token_id(self):
        return self.c.llama_vocab_bos(self.vocab)

    def tok_encode(self, string, add_special_tokens=True, **_):
        text = string.encode()
        ids = (ctypes.c_int32 * (len(text) + 16))()
        count = self.c.llama_tokenize(self.vocab, text, len(text), ids, len(ids), bool(add_special_tokens), False)
        return list(ids[:count])

    def logits(self, tokens, first):
        """Log-probabilities after each token from index `first` on."""
        c, batch = self.c, self.batch
        for k, token in enumerate(tokens):
            batch.token[k], batch.pos[k], batch.n_seq_id[k], batch.seq_id[k][0] = token, k, 1, 0
            batch.logits[k] = k >= first
        batch.n_tokens = len(tokens)
        c.llama_memory_clear(c.llama_get_memory(self.context), True)
        if c.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama.cpp fails to run the model")
        x = np.ctypeslib.as_array(c.llama_get_logits(self.context), (len(tokens) - first, self.words)).astype(np.float64)
        top = x.max(axis=1, keepdims=True)
        return x - top - np.log(np.exp(x - top).sum(axis=1, keepdims=True))

    def _loglikelihood_tokens(self, requests, **_):
        out = []
        for _, context, continuation in requests:
            tokens = (context + continuation)[-(self.n_ctx + 1):]
            scores = self.logits(tokens[:-1], len(tokens) - len(continuation) - 1)
            log_probability = scores[np.arange(len(continuation)), continuation].sum()
            out.append((float(log_probability), bool((scores.argmax(axis=1) == continuation).all())))
        return out

    def loglikelihood_rolling(self, requests, **_):
        raise NotImplementedError

    def generate_until(self, requests, **_):
        raise NotImplementedError


def golden_items():
    """Sentences of a story, each with its own end and three others'."""
    with open(os.path.join(ROOT, "golden", "text", "illustrious_client.txt"), encoding="utf-8") as f:
        sentences = [" ".join(s.split()) for s in re.split(r"(?<=[.!?])\s+", f.read())]
    sentences = [s for s in sentences if 8 <= len(s.split()) <= 20][:80]
    rng = random.Random(5)
    items = []
    for i, sentence in enumerate(sentences):
        words = sentence.split()
        ends = [" ".join(s.split()[-4:]) for s in rng.sample(sentences[:i] + sentences[i + 1:], 3)]
        gold = rng.randrange(4)
        ends.insert(gold, " ".join(words[-4:]))
        items.append({"query": " ".join(words[:-4]), "choices": ends, "gold": gold})
    return items


def read_items(path, limit):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f][:limit]


def write_tasks(folder, tasks):
    """The same items as a suite of carat's and as tasks of lm-evaluation-harness's."""
    suite = '[suite]\nname = "oracle"\nversion = "1"\n'
    for name, items in tasks.items():
        choice = "choices" in items[0]
        with open(os.path.join(folder, f"{name}.jsonl"), "w", encoding="utf-8") as f:
            for i, item in enumerate(items):
                line = ({"context": item["query"], "choices": item["choices"], "gold": item["gold"]} if choice else
                        {"context": item["context"], "continuation": item["continuation"]})
                f.write(json.dumps({"id": str(i), **line}) + "\n")
        suite += f'[[task]]\nname = "{name}"\nkind = "choice"\nitems = "{name}.jsonl"\n'
        suite += 'metrics = ["acc", "acc_norm", "acc_chars", "gold_nll"]\n' if choice else 'metrics = ["greedy", "gold_nll"]\n'
        if not choice:
            suite += 'delimiter = " "\n'
        kind = ("output_type: multiple_choice\ndoc_to_text: '{{context}}'\ndoc_to_target: gold\ndoc_to_choice: choices\n"
                "metric_list:\n  - {metric: acc}\n  - {metric: acc_norm}\n  - {metric: acc_bytes}\n" if choice else
                "output_type: loglikelihood\ndoc_to_text: '{{context}}'\ndoc_to_target: ' {{continuation}}'\n"
                "target_delimiter: ''\nmetric_list:\n  - {metric: acc}\n")
        with open(os.path.join(folder, f"{name}.yaml"), "w") as f:
            f.write(f"task: carat_{name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
                    f"    test: {os.path.join(folder, name + '.jsonl')}\ntest_split: test\n{kind}")
    with open(os.path.join(folder, "suite.toml"), "w") as f:
        f.write(suite)


def carat_records(program, model, folder, more):
    card = os.path.join(folder, "card.json")
    done = subprocess.run([program, "evaluate", model, "--suite", folder, "--store", os.path.join(folder, "s.sqlite"),
                           "--export", card, "-q", "--json", *more], stdout=subprocess.PIPE)
    if done.returncode != 0:
        raise SystemExit(f"carat fails: {done.stdout.decode()}")
    with open(card) as f:
        records = json.load(f)["records"]
    return {(r["task"], r["item"]): dict(r["metrics"]) for r in records if r["outcome"] == "scored"}


def margin(sample, norm):
    """Between the likeliest choice and the next, in nats of the whole choice."""
    lengths = {"acc": lambda c: 1.0, "acc_norm": len, "acc_bytes": lambda c: len(c.encode())}[norm]
    scores = [r[0][0] / lengths(c) for r, c in zip(sample["resps"], sample["doc"]["choices"])]
    scores.sort(reverse=True)
    return (scores[0] - scores[1]) * np.mean([lengths(c) for c in sample["doc"]["choices"]])


def compare(name, samples, ours):
    wrong, report = 0, []
    choice = "choices" in samples[0]["doc"]
    pairs = [("acc", "acc"), ("acc_chars", "acc_norm"), ("acc_norm", "acc_bytes")] if choice else [("greedy", "acc")]
    for mine, theirs in pairs:
        differ, beyond, total = 0, 0, [0, 0]
        for s in samples:
            a, b = ours[(name, s["doc"]["id"])][mine], s[theirs]
            total[0] += a
            total[1] += b
            if a != b:
                differ += 1
                beyond += choice and margin(s, theirs) > NEARLY
        allowed = 0 if choice else max(1, len(samples) // 50)  # greedy: each token is a close call somewhere
        wrong += beyond > 0 or (not choice and differ > allowed)
        report.append(f"{mine} {total[0] / len(samples):.4f} against {total[1] / len(samples):.4f}: {differ} differ, "
                      f"{beyond} of them by more than {NEARLY} nats")
    gold = [-s["resps"][s["doc"]["gold"] if choice else 0][0][0] for s in samples]
    away = [abs(ours[(name, s["doc"]["id"])]["gold_nll"] - g) for s, g in zip(samples, gold)]
    report.append(f"log-likelihoods of the gold answers: mean distance {np.mean(away):.2g} nats, largest {max(away):.2g}")
    wrong += bool(np.mean(away) > NEARLY)
    for line in report:
        print(f"  {line}")
    return wrong


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--carat", required=True)
    options.add_argument("--model", default=GOLDEN)
    options.add_argument("--items", action="append", default=[])
    options.add_argument("--limit", type=int, default=200)
    options.add_argument("--ctx", type=int, default=512)
    options.add_argument("--threads", type=int, default=1, help="of llama.cpp, which spins")
    options.add_argument("--activations", default="int8_block")
    o = options.parse_args()
    logging.disable(logging.WARNING)
    tasks = {"story": golden_items()} if not o.items else {
        os.path.splitext(os.path.basename(p))[0]: read_items(p, o.limit) for p in o.items}
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        write_tasks(folder, tasks)
        ours = carat_records(o.carat, o.model, folder, ["--ctx", str(o.ctx), "--activations", o.activations])
        results = lm_eval.simple_evaluate(LlamaCpp(o.model, o.ctx, o.threads), tasks=[f"carat_{t}" for t in tasks],
                                          task_manager=TaskManager(include_path=folder, include_defaults=False),
                                          bootstrap_iters=0, log_samples=True)
        for name, items in tasks.items():
            print(f"{name}: {len(items)} items, {os.path.basename(o.model)}")
            wrong += compare(name, results["samples"][f"carat_{name}"], ours)
    print("lm-evaluation-harness disagrees" if wrong else "lm-evaluation-harness agrees")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
