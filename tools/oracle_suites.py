#!/usr/bin/env python3
"""Compares the prompts of imported suites with those that lm-evaluation-harness's own task files give, byte by byte.

    tools/oracle_suites.py --carat build/release/bin/carat --data DIRECTORY

DIRECTORY holds the public files (mmlu/, gsm8k/, ...). Task files are rendered by jinja2 as the harness does; nothing of
the harness runs. Needs lm_eval, jinja2, PyYAML. Exits 1 if a prompt, a choice or a gold answer differs.
"""
import argparse
import ast
import csv
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import tempfile

import jinja2
import yaml

parser = argparse.ArgumentParser()
parser.add_argument("--carat", required=True)
parser.add_argument("--data", required=True)
options = parser.parse_args()
TASKS = os.path.join(os.path.dirname(importlib.util.find_spec("lm_eval").origin), "tasks")
# lm_eval/utils.py
JINJA = jinja2.Environment(loader=jinja2.BaseLoader(), undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


class Loader(yaml.SafeLoader):
    """Task files name functions, which are not called here."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
failed = 0


def task(path):
    with open(os.path.join(TASKS, path), encoding="utf-8") as f:
        return yaml.load(f, Loader)


def source(path):
    with open(os.path.join(TASKS, path), encoding="utf-8") as f:
        return ast.parse(f.read())


def functions(path, *names):
    """Functions of a task's utils.py, without its imports."""
    tree = source(path)
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
    space = {"re": re}
    exec(compile(tree, path, "exec"), space)
    return [space[n] for n in names]


def render(template, fields):
    return JINJA.from_string(template).render(**fields)


def data(name):
    return os.path.join(options.data, name)


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def table(path):
    with open(path, encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def imported(format, *files):
    """The items of a suite as a model gets them."""
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "suite")
        subprocess.run([options.carat, "suite", "import", format, *files, "-o", out, "-q"], check=True,
                       stdout=subprocess.DEVNULL)
        shown = subprocess.run([options.carat, "suite", "show", out, format, "-n", "1000000", "--json"], check=True,
                               stdout=subprocess.PIPE)
        return json.loads(shown.stdout)["items"]


def choice(item):
    return item["contexts"][0], item["choices"], item["gold"]


def compare(name, ours, theirs):
    global failed
    different = sum(a != b for a, b in zip(ours, theirs)) + abs(len(ours) - len(theirs))
    print(f"{name}: {len(theirs)} items, {different} differ")
    failed += different > 0
    for a, b in zip(ours, theirs):
        if a != b:
            print(f"  carat   {a!r:.1000}\n  lm_eval {b!r:.1000}")
            break


def mmlu():
    template = task("mmlu/default/_default_template_yaml")
    for subject in ("anatomy", "formal_logic", "high_school_us_history"):
        files = [data(f"mmlu/{split}/{subject}_{split}.csv") for split in ("dev", "test")]
        shots, questions = ([{"question": r["question"], "choices": [r[f"choice{i}"] for i in range(4)],
                              "answer": int(r["answer"])} for r in table(f)] for f in files)
        before = task(f"mmlu/default/mmlu_{subject}.yaml")["description"] + "".join(
            render(template["doc_to_text"], s) + " " + template["doc_to_choice"][s["answer"]] + "\n\n"
            for s in shots[:5])
        compare(f"mmlu {subject}", [choice(i) for i in imported("mmlu", *files)],
                [(before + render(template["doc_to_text"], q), [" " + c for c in template["doc_to_choice"]],
                  q["answer"]) for q in questions])


def truthfulqa():
    template = task("truthfulqa/truthfulqa_mc1.yaml")["doc_to_text"]
    path = data("truthfulqa/TruthfulQA.csv")
    compare("truthfulqa", [(i["contexts"][0], i["choices"][0], i["gold"]) for i in imported("truthfulqa", path)],
            [(render(template, {"question": r["Question"].strip()}), " " + r["Best Answer"].strip(), 0)
             for r in table(path)])


def blimp():
    template = task("blimp/_template_yaml")
    path = data("blimp/causative.jsonl")
    compare("blimp", [choice(i) for i in imported("blimp", path)],
            [(template["doc_to_text"], [" " + r["sentence_good"], " " + r["sentence_bad"]], template["doc_to_target"])
             for r in lines(path)])


def lambada():
    template = task("lambada/lambada_openai.yaml")
    path = data("lambada/lambada_openai.jsonl")
    texts = [{"text": r["context"] + " " + r["continuation"]} for r in lines(path)]
    compare("lambada", [(i["contexts"][0], i["choices"]) for i in imported("lambada", path)],
            [(render(template["doc_to_text"], t), [render(template["doc_to_target"], t)]) for t in texts])


def gsm8k():
    path = data("gsm8k/test.jsonl")
    template = task("gsm8k/gsm8k-cot.yaml")
    before = "".join(render(template["doc_to_text"], s) + " " + render(template["doc_to_target"], s) + "\n\n"
                     for s in template["fewshot_config"]["samples"])
    compare("gsm8k_cot", [(i["prompt"], i["expected"]["answer"]) for i in imported("gsm8k", path)],
            [(before + render(template["doc_to_text"], r), render(template["doc_to_target"], r)) for r in lines(path)])


def code():
    path = data("humaneval/HumanEval.jsonl")
    compare("humaneval", [i["prompt"] for i in imported("humaneval", path)], [r["prompt"] for r in lines(path)])
    path = data("mbpp/mbpp.jsonl")
    template = task("mbpp/mbpp.yaml")
    shots = functions("mbpp/utils.py", "list_fewshot_samples")[0]()
    before = "".join(render(template["doc_to_text"], s) + render(template["doc_to_target"], s) + "\n\n" for s in shots)
    compare("mbpp", [i["prompt"] for i in imported("mbpp", path)],
            [before + render(template["doc_to_text"], r) for r in lines(path)
             if r["task_id"] not in {s["task_id"] for s in shots}])


def hellaswag():
    """The JSON form is not among the files: texts drawn from what its preprocessing looks for."""
    preprocess, = functions("hellaswag/utils.py", "preprocess")
    draw = random.Random(1)
    words = ["[header]", "[title]", " [title]", "[step]", "[substeps] x", "[", "]", "  ", "a", "b. ", "Cat", "\u00e9", "\u00c9"]
    text = lambda: " ".join(draw.choice(words) for _ in range(draw.randint(1, 8)))
    rows = [{"activity_label": text(), "ctx_a": text(), "ctx_b": text(), "endings": [text() + "z" for _ in range(4)],
             "label": str(i % 4)} for i in range(2000)]
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "h.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(json.dumps(r) + "\n" for r in rows))
        items = imported("hellaswag", path)
    compare("hellaswag (drawn)", [choice(i) for i in items],
            [(preprocess(r["activity_label"] + ": " + r["ctx_a"] + " " + r["ctx_b"].capitalize()),
              [" " + preprocess(e) for e in r["endings"]], int(r["label"])) for r in rows])


for check in (mmlu, truthfulqa, blimp, lambada, gsm8k, code, hellaswag):
    check()
print("suites: all prompts are lm-evaluation-harness's" if not failed else f"suites: {failed} tasks differ")
sys.exit(failed > 0)
