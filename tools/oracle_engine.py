#!/usr/bin/env python3
"""Compares carat's perplexity and log-likelihoods with llama.cpp's, model family by model family.

    tools/oracle_engine.py --carat build/release/bin/carat [--driver build/release/src/score/carat_likelihood_oracle]
                           [--model FILE.gguf --text FILE]...

Without --model: golden/stories260K.gguf, and small random models of each architecture, rotary scaling and encoding
that carat runs, written here with the gguf package. Their logits are spread widely, so that a wrong forward pass
shows as many per cent; the two programs must agree within 0.5 %. Needs the packages gguf, numpy and xllamacpp,
whose llama.cpp is called through its C functions. Exits 1 if anything differs.
"""
import argparse, ctypes, json, math, os, random, subprocess, sys, tempfile

import gguf
import numpy as np
import xllamacpp

from expert_models import MIXTURES
from family_models import FAMILIES, GOLDEN, golden_tokenizer
from nvfp4_models import NVFP4_MODELS

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
LIMIT = 0.005
SAME = 1e-7  # of one model in two containers
LIKELIHOOD_CONTEXT = 256  # tokens; what some rotations are chosen for
MEAN, LARGEST = 0.02, 0.1  # nats per token of log-likelihoods, all together and the worst
REQUESTS = [
    ("Once upon a time, there was a little", " girl named Lily."), ("Once upon a time, there was a little", " car."),
    ("Once upon a time, there was a little ", "dog who ran"), ("Once upon a time", ", there"), ("Tom saw a big", " tree"),
    ("", "One day, a bear went to the park."), ("The dog was", " happy"), ("The dog was", " happily asleep"),
    ("The sun is hot.\n\n", "It is a nice day"), ("Caf\u00e9 \u3000", "na\u00efve"), ("x", "yz"), ("  ", "He"),
]


class Params(ctypes.Structure):
    """llama_model_params or llama_context_params, which are passed by value and differ between versions: room enough
    for any of them. llama_context_params begins with n_ctx, n_batch, n_ubatch."""
    _fields_ = [("head", ctypes.c_uint32 * 3), ("rest", ctypes.c_uint8 * 1012)]


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.POINTER(ctypes.c_int32)), ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("logits", ctypes.POINTER(ctypes.c_int8))]


class Llama:
    """llama.cpp's C interface, as far as perplexity needs it."""

    def __init__(self):
        folder = os.path.dirname(xllamacpp.__file__)
        library = next(f for f in sorted(os.listdir(folder)) if f.startswith("xllamacpp") and f.endswith(".so"))
        self.c = ctypes.CDLL(os.path.join(folder, library))
        pointer, integer = ctypes.c_void_p, ctypes.c_int32
        for name, result, arguments in [
                ("llama_backend_init", None, []), ("llama_log_set", None, [pointer, pointer]),
                ("llama_model_default_params", Params, []), ("llama_context_default_params", Params, []),
                ("llama_model_load_from_file", pointer, [ctypes.c_char_p, Params]), ("llama_model_free", None, [pointer]),
                ("llama_model_get_vocab", pointer, [pointer]), ("llama_vocab_n_tokens", integer, [pointer]),
                ("llama_vocab_get_add_bos", ctypes.c_bool, [pointer]), ("llama_vocab_bos", integer, [pointer]),
                ("llama_tokenize", integer,
                 [pointer, ctypes.c_char_p, integer, pointer, integer, ctypes.c_bool, ctypes.c_bool]),
                ("llama_init_from_model", pointer, [pointer, Params]), ("llama_free", None, [pointer]),
                ("llama_set_n_threads", None, [pointer, integer, integer]),
                ("llama_get_memory", pointer, [pointer]), ("llama_memory_clear", None, [pointer, ctypes.c_bool]),
                ("llama_batch_init", Batch, [integer, integer, integer]), ("llama_batch_free", None, [Batch]),
                ("llama_decode", integer, [pointer, Batch]),
                ("llama_get_logits", ctypes.POINTER(ctypes.c_float), [pointer])]:
            function = getattr(self.c, name)
            function.restype, function.argtypes = result, arguments
        self.silence = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, pointer)(lambda *_: None)
        self.c.llama_log_set(ctypes.cast(self.silence, pointer), None)
        self.c.llama_backend_init()

    def open(self, path, n_ctx):
        model = self.c.llama_model_load_from_file(path.encode(), self.c.llama_model_default_params())
        if not model:
            raise SystemExit(f"llama.cpp does not load {path}")
        params = self.c.llama_context_default_params()
        params.head[0] = params.head[1] = n_ctx
        context = self.c.llama_init_from_model(model, params)
        self.c.llama_set_n_threads(context, os.cpu_count(), os.cpu_count())
        return model, context, self.c.llama_model_get_vocab(model)

    def close(self, model, context):
        self.c.llama_free(context)
        self.c.llama_model_free(model)

    def tokenize(self, vocab, text, add_special):
        room = len(text) + 16
        ids = (ctypes.c_int32 * room)()
        return ids[:self.c.llama_tokenize(vocab, text, len(text), ids, room, add_special, False)]

    def log_probabilities(self, context, vocab, tokens, first):
        """Of every token after tokens[first], and so on: [len(tokens) - first, vocabulary]."""
        c, n = self.c, len(tokens)
        batch = c.llama_batch_init(n, 0, 1)
        for k, token in enumerate(tokens):
            batch.token[k], batch.pos[k], batch.n_seq_id[k], batch.seq_id[k][0] = token, k, 1, 0
            batch.logits[k] = k >= first
        batch.n_tokens = n
        c.llama_memory_clear(c.llama_get_memory(context), True)
        failed = c.llama_decode(context, batch)
        c.llama_batch_free(batch)
        if failed:
            raise SystemExit("llama.cpp fails to run the model")
        shape = (n - first, c.llama_vocab_n_tokens(vocab))
        logits = np.ctypeslib.as_array(c.llama_get_logits(context), shape).astype(np.float64)
        top = logits.max(axis=1, keepdims=True)
        return logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))

    def perplexity(self, path, text, n_ctx, chunks):
        """As llama-perplexity computes it; also the number of tokens scored."""
        model, context, vocab = self.open(path, n_ctx)
        ids = self.tokenize(vocab, text, True)
        first, nll = n_ctx // 2, []
        for chunk in range(min(len(ids) // n_ctx, chunks)):
            tokens = ids[chunk * n_ctx:(chunk + 1) * n_ctx]
            following = tokens[first + 1:]
            if self.c.llama_vocab_get_add_bos(vocab):
                tokens[0] = self.c.llama_vocab_bos(vocab)
            rows = self.log_probabilities(context, vocab, tokens, first)[:-1]
            nll.extend(-rows[np.arange(len(rows)), following])
        self.close(model, context)
        return math.exp(np.mean(nll)), len(nll)

    def scored_tokens(self, path, text, n_ctx, chunks):
        """The chunks that perplexity() scores: lists of n_ctx tokens, each to be begun with BOS where the model adds it."""
        model, context, vocab = self.open(path, n_ctx)
        ids = self.tokenize(vocab, text, True)
        bos = self.c.llama_vocab_bos(vocab) if self.c.llama_vocab_get_add_bos(vocab) else None
        self.close(model, context)
        return bos, [ids[i * n_ctx:(i + 1) * n_ctx] for i in range(min(len(ids) // n_ctx, chunks))]

    def likelihoods(self, path, requests):
        """Sum of log p of each continuation, whether it is the greedy one, its tokens, those of its context:
        divided as lm-evaluation-harness's _encode_pair does."""
        model, context, vocab = self.open(path, LIKELIHOOD_CONTEXT)
        results = []
        for before, after in requests:
            spaces = len(before) - len(before.rstrip())
            whole = self.tokenize(vocab, (before + after).encode(), False)
            head = self.tokenize(vocab, before[:len(before) - spaces].encode(), False) if before.strip() else []
            following = whole[len(head):]
            if not head or self.c.llama_vocab_get_add_bos(vocab):
                head = [self.c.llama_vocab_bos(vocab)] + head
            rows = self.log_probabilities(context, vocab, (head + following)[:-1], len(head) - 1)
            picked = rows[np.arange(len(rows)), following]
            results.append((picked.sum(), bool((rows.argmax(axis=1) == following).all()), len(following), len(head)))
        self.close(model, context)
        return results


def write_model(path, seed, arch="llama", heads=4, kv_heads=2, head_dim=32, encoding="F32", tied=False, bias=False,
                qk_norm=False, divisors=False, base=10000.0, scaling=None,
                gain=3.0, experts=0, used=2, expert_width=64, shared_width=0, scaled=False):
    width, feed_forward, layers = 128, 256, 3
    random_numbers = np.random.default_rng(seed)
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(layers)
    w.add_context_length(512)
    w.add_embedding_length(width)
    w.add_feed_forward_length(feed_forward)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_key_length(head_dim)
    w.add_value_length(head_dim)
    w.add_rope_dimension_count(head_dim)
    w.add_rope_freq_base(base)
    w.add_layer_norm_rms_eps(1e-5)
    if experts:
        w.add_expert_count(experts)
        w.add_expert_used_count(used)
        w.add_expert_feed_forward_length(expert_width)
        if shared_width:
            w.add_expert_shared_feed_forward_length(shared_width)
    for key, value in (scaling or {}).items():
        add = {str: w.add_string, float: w.add_float32, int: w.add_uint32}[type(value)]
        add(f"{arch}.rope.scaling.{key}", value)
    tokenizer = golden_tokenizer()
    for name, kind, element, value in tokenizer:
        w.add_key_value(name, value, kind, element if kind == gguf.GGUFValueType.ARRAY else None)
    words = next(len(value) for name, _, _, value in tokenizer if name == "tokenizer.ggml.tokens")

    def add(name, shape, mean, spread, kind):
        x = (mean + spread * random_numbers.standard_normal(shape)).astype(np.float32)
        if kind == "NVFP4":
            # Random codes under scales around 1, and a factor for each matrix of a tensor; or under small scales.
            scales = random_numbers.integers(0x30, 0x40, (x.size // 64, 4)) - (0 if scaled else 0x28)
            data = np.concatenate([scales, random_numbers.integers(0, 256, (x.size // 64, 32))], axis=1).astype(np.uint8)
            w.add_tensor(name, data.reshape(*shape[:-1], -1), raw_dtype=gguf.GGMLQuantizationType.NVFP4)
            if scaled:
                factors = spread / 4 * np.exp(0.5 * random_numbers.standard_normal(shape[:-2] or (1,)))
                w.add_tensor(name.replace(".weight", ".scale"), factors.astype(np.float32))
                w.add_tensor(name.replace(".weight", ".input_scale"), np.ones(factors.shape, np.float32))
            return
        kind = gguf.GGMLQuantizationType[kind]
        w.add_tensor(name, gguf.quants.quantize(x, kind), raw_dtype=kind)

    def matrix(name, rows, columns, gain=1.0):
        add(name, (rows, columns), 0.0, gain / math.sqrt(columns), encoding)

    def gated(block, suffix, channels, columns, outer=()):
        for part, rows, cols in (("gate", channels, columns), ("up", channels, columns), ("down", columns, channels)):
            add(f"{block}ffn_{part}{suffix}.weight", (*outer, rows, cols), 0.0, 1 / math.sqrt(cols), encoding)

    def vector(name, size, mean, spread):
        add(name, (size,), mean, spread, "F32")

    add("token_embd.weight", (words, width), 0.0, 0.25 if tied else 1.0, "F32" if scaled else encoding)
    if divisors:
        w.add_tensor("rope_freqs.weight", np.linspace(1.0, 8.0, head_dim // 2).astype(np.float32))
    for layer in range(layers):
        b = f"blk.{layer}."
        vector(b + "attn_norm.weight", width, 1.0, 0.2)
        for part, n in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            matrix(b + f"attn_{part}.weight", n * head_dim, width, 1.0 if part == "v" else 2.0)
            if bias:
                vector(b + f"attn_{part}.bias", n * head_dim, 0.0, 0.5)
            if qk_norm and part != "v":
                vector(b + f"attn_{part}_norm.weight", head_dim, 1.5, 0.2)
        matrix(b + "attn_output.weight", width, heads * head_dim)
        vector(b + "ffn_norm.weight", width, 1.0, 0.2)
        if not experts:
            gated(b, "", feed_forward, width)
            continue
        add(b + "ffn_gate_inp.weight", (experts, width), 0.0, 2.0 / math.sqrt(width), "F32")
        gated(b, "_exps", expert_width, width, (experts,))
        if shared_width:
            add(b + "ffn_gate_inp_shexp.weight", (width,), 0.0, 2.0 / math.sqrt(width), "F32")
            gated(b, "_shexp", shared_width, width)
    vector("output_norm.weight", width, 1.0, 0.2)
    if not tied:
        matrix("output.weight", words, width, gain)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


YARN = {"type": "yarn", "factor": 4.0, "original_context_length": 64}
CASES = {
    "llama F32": {}, "llama, one key-value head": {"kv_heads": 1}, "llama, biases": {"bias": True},
    "llama, tied": {"tied": True}, "llama3 frequencies": {"divisors": True, "base": 500000.0},
    "linear": {"scaling": {"type": "linear", "factor": 4.0}}, "yarn": {"scaling": YARN},
    "yarn, attention factor": {"scaling": {**YARN, "attn_factor": 1.3}},
    "qwen2": {"arch": "qwen2", "bias": True, "base": 1000000.0},
    "qwen2, yarn": {"arch": "qwen2", "bias": True, "scaling": YARN},
    "qwen3": {"arch": "qwen3", "qk_norm": True, "head_dim": 64, "base": 1000000.0},
    "qwen3, tied": {"arch": "qwen3", "qk_norm": True, "tied": True},
    # llama.cpp's llama takes feed_forward_length for its experts.
    **{f"mixtral, {k} of {n}": {"experts": n, "used": k, "expert_width": 256} for n, k in ((8, 2), (4, 1), (5, 3))},
    **{f"qwen2moe, {k} of {n}": {"arch": "qwen2moe", "bias": True, "experts": n, "used": k, "shared_width": 96}
       for n, k in ((6, 2), (4, 4))},
    **{f"qwen3moe, {k} of {n}": {"arch": "qwen3moe", "qk_norm": True, "head_dim": 64, "experts": n, "used": k}
       for n, k in ((16, 4), (7, 1))},
    # Both programs round what meets these weights, each in its way; logits of less spread amplify that less.
    "llama NVFP4": {"encoding": "NVFP4", "gain": 1.0},
    # Of these families llama.cpp heeds all factors (of qwen2's feed-forwards and qwen2moe's experts it does not).
    **{f"{a} NVFP4, with factors": {"arch": a, "encoding": "NVFP4", "gain": 1.0, "scaled": True, **own} for a, own in
       (("llama", {"bias": True}), ("qwen3", {"qk_norm": True}),
        ("qwen3moe", {"qk_norm": True, "experts": 7, "used": 3}))},
    **{f"llama {e}": {"encoding": e, "gain": 1.0} for e in ("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")},
}


def story(words, seed):
    """Text of many small words, as stories260K knows them."""
    choose = random.Random(seed)
    who = ["Lily", "Tom", "the little dog", "a big bear", "her mom", "Ben", "the bird"]
    did = ["went to", "saw", "loved", "played with", "was sad about", "ran to", "wanted"]
    what = ["the park", "a red ball", "the big tree", "a small box", "the sun", "his friend", "some cake"]
    sentences = (f"One day, {choose.choice(who)} {choose.choice(did)} {choose.choice(what)}." for _ in range(words))
    return " ".join(sentences)


def transformers_perplexity(directory, scored, n_ctx):
    """As Llama.perplexity, by transformers in float32."""
    import torch, transformers
    transformers.logging.set_verbosity_error()
    bos, chunks = scored
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
    first, nll = n_ctx // 2, []
    with torch.no_grad():
        for tokens in chunks:
            following = tokens[first + 1:]
            read = tokens if bos is None else [bos] + tokens[1:]
            rows = torch.log_softmax(model.eval()(torch.tensor([read])).logits[0].double(), -1)[first:-1]
            nll.extend((-rows[range(len(following)), following]).tolist())
    return math.exp(np.mean(nll))


def tokenizer_files(carat, folder):
    """The golden model's tokenizer in Hugging Face's form: name -> text."""
    directory = os.path.join(folder, "golden")
    subprocess.run([carat, "convert", GOLDEN, directory, "--container", "hf", "--to", "F32", "-q"], check=True)
    files = {}
    for name in ("tokenizer.json", "tokenizer_config.json"):
        with open(os.path.join(directory, name)) as f:
            files[name] = f.read()
    return files


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--carat", required=True)
    parser.add_argument("--driver", help="tools/likelihood_driver.cc, built")
    parser.add_argument("--transformers", action="store_true", help="compare directories with it, too; needs torch")
    parser.add_argument("--only", default="", help="models whose name has this in it")
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--text", action="append", default=[])
    parser.add_argument("--ctx", type=int, default=256)
    parser.add_argument("--chunks", type=int, default=4)
    options = parser.parse_args()
    if len(options.model) != len(options.text):
        parser.error("give one --text for each --model")
    llama, worst, failures, compared = Llama(), 0.0, 0, 0

    def compare(name, model, text):
        nonlocal worst, failures, compared
        command = [options.carat, "perplexity", model, "--text", text, "--ctx", str(options.ctx), "--chunks",
                   str(options.chunks), "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{name}: carat fails: {done.stderr.strip()}")
            failures += 1
            return
        ours = json.loads(done.stdout)
        with open(text, "rb") as f:
            theirs, tokens = llama.perplexity(model, f.read(), options.ctx, options.chunks)
        off = ours["perplexity"] / theirs - 1
        bad = not abs(off) <= LIMIT or tokens != ours["tokens"]
        print(f"{name:28} carat {ours['perplexity']:12.4f}  llama.cpp {theirs:12.4f}  {100 * off:+.3f} %"
              f"  {tokens} tokens{'  DIFFERS' if bad else ''}")
        worst, failures, compared = max(worst, abs(off)), failures + bad, compared + 1
        if options.driver:
            compare_likelihoods(name, model)

    def compare_directory(name, model, directory, text, transformers):
        """The same numbers under Hugging Face's names must be the same model; also, where asked, to transformers."""
        nonlocal failures
        scores = []
        for path in (model, directory):
            done = subprocess.run([options.carat, "perplexity", path, "--text", text, "--ctx", str(options.ctx), "--chunks",
                                   str(options.chunks), "--json"], capture_output=True, text=True)
            if done.returncode != 0:
                print(f"{name}, as a directory: {done.stderr.strip()}")
                failures += 1
                return
            scores.append(json.loads(done.stdout)["perplexity"])
        off = scores[1] / scores[0] - 1
        bad = not abs(off) <= SAME
        print(f"{'':28} as a Hugging Face directory: {100 * off:+.6f} %{'  DIFFERS' if bad else ''}")
        failures += bad
        if transformers:
            with open(text, "rb") as f:
                tokens = llama.scored_tokens(model, f.read(), options.ctx, options.chunks)
            off = scores[1] / transformers_perplexity(directory, tokens, options.ctx) - 1
            bad = not abs(off) <= LIMIT
            print(f"{'':28} transformers: {100 * off:+.3f} %{'  DIFFERS' if bad else ''}")
            failures += bad

    def compare_likelihoods(name, model):
        nonlocal failures
        asked = "".join(json.dumps({"context": a, "continuation": b}) + "\n" for a, b in REQUESTS)
        done = subprocess.run([options.driver, model, str(LIKELIHOOD_CONTEXT)], input=asked, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{name}: {done.stderr.strip()}")
            failures += 1
            return
        ours = [json.loads(line) for line in done.stdout.splitlines()]
        theirs = llama.likelihoods(model, REQUESTS)
        divided = all((o["tokens"], o["context_tokens"]) == t[2:] for o, t in zip(ours, theirs))
        off = [(o["log_probability"] - t[0]) / t[2] for o, t in zip(ours, theirs)]
        mean, largest = abs(sum(off)) / len(off), max(map(abs, off))
        greedy = sum(o["greedy"] == t[1] for o, t in zip(ours, theirs))
        bad = len(ours) != len(theirs) or not divided or not mean <= MEAN or not largest <= LARGEST
        print(f"{'':28} {len(ours)} log-likelihoods: off by {mean:.4f} per token, at most {largest:.4f}; {greedy} "
              f"greedy alike{'' if divided else ', divided otherwise'}{'  DIFFERS' if bad else ''}")
        failures += bad

    with tempfile.TemporaryDirectory() as folder:
        if options.model:
            for model, text in zip(options.model, options.text):
                compare(os.path.basename(model), model, text)
        else:
            text = os.path.join(folder, "story.txt")
            with open(text, "w") as f:
                f.write(story(400, 1))
            model = os.path.join(folder, "model.gguf")
            if options.only in "stories260K":
                compare("stories260K", GOLDEN, text)
            for seed, (name, case) in enumerate(CASES.items()):
                if options.only not in name:
                    continue
                write_model(model, seed, **case)
                compare(name, model, text)
            tokenizer = tokenizer_files(options.carat, folder)
            for seed, (name, family) in enumerate({**FAMILIES, **MIXTURES, **NVFP4_MODELS}.items()):
                if options.only not in name:
                    continue
                made = family(seed)
                made.save_gguf(model)
                compare(name, model, text)
                if not made.hf:  # nothing that a directory could say
                    continue
                directory = os.path.join(folder, f"hf{seed}")
                made.save_hf(directory, tokenizer)
                # With FP8 weights, transformers rounds activations to FP8, too; NVFP4 it leaves to other packages.
                alike = not any(kind in name for kind in ("FP8", "NVFP4"))
                compare_directory(name, model, directory, text, options.transformers and alike)
    print(f"{compared} models compared, {failures} failures, largest difference {100 * worst:.3f} %")
    return 1 if failures or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
