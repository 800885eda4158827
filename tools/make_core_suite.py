#!/usr/bin/env python3
"""Makes the parts of suites/core that come from public data: small samples, spread evenly, by `carat suite import`.

    tools/make_core_suite.py CARAT DATA SUITES/core

Where what it writes differs, the suite is another exam: raise its version.
DATA is the directory of the public files (gsm8k/, mmlu/, ...). Items written for carat (multilingual.jsonl,
conversation.jsonl) and suite.toml itself are kept by hand. Which file is under which licence: suites/LICENSES.md.
"""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

CARAT, DATA, CORE = sys.argv[1:4]

AREAS = {"stem": "abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science "
                 "college_physics computer_security conceptual_physics elementary_mathematics "
                 "high_school_computer_science high_school_mathematics high_school_physics machine_learning",
         "humanities": "formal_logic high_school_european_history high_school_us_history high_school_world_history "
                       "jurisprudence logical_fallacies moral_disputes philosophy prehistory world_religions",
         "social": "high_school_geography high_school_microeconomics professional_psychology public_relations "
                   "security_studies",
         "other": "global_facts human_aging medical_genetics miscellaneous professional_accounting virology"}
AREA = {subject: area for area, subjects in AREAS.items() for subject in subjects.split()}


def files(*patterns):
    return [f for p in patterns for f in sorted(glob.glob(os.path.join(DATA, p)))]


def sample(format, limit, *patterns, more=()):
    """Fields of `limit` items as the importer writes them."""
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "out")
        subprocess.run([CARAT, "suite", "import", format, *files(*patterns), "-o", out, "--limit", str(limit), "-q",
                        *more], check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(out, format + ".jsonl"), encoding="utf-8") as f:
            return [json.loads(line) for line in f]


def write(name, rows):
    with open(os.path.join(CORE, name + ".jsonl"), "w", encoding="utf-8") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


def with_slice(rows, key, value):
    return [{**row, key: value} for row in rows]


def passages(text, count, longest=5000):
    """`count` pieces at even distances, each from a line's beginning to the last line end within `longest`."""
    for i in range(count):
        begin = text.index("\n", len(text) * i // count) + 1 if i else 0
        piece = text[begin:begin + longest]
        yield piece[:piece.rindex("\n")].strip()


def documents(domain, name, texts):
    return [{"id": f"{name}-{i + 1}", "domain": domain, "text": text} for i, text in enumerate(texts)]


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


write("arc", with_slice(sample("choice", 50, "arc-easy/*"), "level", "easy") +
      with_slice(sample("choice", 40, "arc-challenge/*"), "level", "challenge"))
write("mmlu", [{**row, "area": AREA[row["subject"]]} for row in sample("mmlu", 105, "mmlu/test/*.csv")])
write("truthfulqa", sample("truthfulqa", 40, "truthfulqa/*"))
write("hellaswag", sample("hellaswag", 60, "hellaswag/*"))
write("winogrande", sample("winogrande", 50, "winogrande/*"))
write("blimp", sample("blimp", 123, "blimp/*.jsonl"))
write("lambada", sample("lambada", 50, "lambada/*"))
write("boolq", sample("choice", 40, "boolq/*"))
write("gsm8k", sample("gsm8k", 30, "gsm8k/*"))
write("humaneval", sample("humaneval", 15, "humaneval/*"))
write("ifeval", sample("ifeval", 30, "ifeval/*"))
write("bfcl", sample("bfcl", 60, "bfcl/*.json", "bfcl/possible_answer/*.json"))
write("jsonschema", sample("jsonschemabench", 20, "jsonschemabench/Glaive*"))
source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
write("text", documents("encyclopedia", "wikitext", passages(re.sub(r"\n\s*\n", "\n", read(
      files("wikitext-2/train_raw_5k.txt")[0])), 8)) +
      documents("drama", "shakespeare", passages(read(files("calibration/tinyshakespeare.txt")[0]), 4)) +
      documents("prose", "doyle", passages(re.sub(r"(?m)^ +", "", read(source + "/golden/text/illustrious_client.txt")), 4)) +
      documents("code", "carat", [next(passages(read(source + "/src/base/" + name), 1)) for name in
                                  ("digest.cc", "thread_pool.h", "error.h", "cpu.cc")]))
