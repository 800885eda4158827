#!/usr/bin/env python3
"""Every method into every encoding, from one full-precision GGUF: the table of docs/methods.md.

Each file is judged by carat against the source in lock-step: mean KL divergence over chunks of each text. Methods that use
data are run once for each calibration set, so that text of the domain can be compared with text of any kind:

  compare_methods.py --carat build/release/bin/carat --model smollm2-768-bf16.gguf --csv methods.csv \\
      --calibration generic=c4.txt,wiki.txt --calibration code=code.txt --text wiki=valid.txt --text code=other_code.txt \\
      --domain-methods importance,awq+gptq

The first calibration set and the first text are for all methods, the others for --domain-methods. "importance" is the search with the
set's statistics. Rows already in the CSV file are not measured again. Ratios (and paired differences per chunk over their standard errors) are to the first
row of an encoding.
"""
import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time

NEEDS_DATA = ("importance", "awq", "gptq", "permute", "rotate", "smoothquant")
FIELDS = ["encoding", "method", "calibration", "text", "kl", "standard_error", "perplexity", "seconds", "bytes", "per_chunk"]


def run_json(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def named(text):
    name, _, files = text.partition("=")
    if not files:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=FILE[,FILE...]")
    return name, files.split(",")


def paired(ours, theirs):
    """The mean difference per chunk, and its standard error."""
    differences = [a - b for a, b in zip(ours, theirs)]
    n, mean = len(differences), sum(differences) / len(differences)
    return mean, math.sqrt(sum((d - mean) ** 2 for d in differences) / max(1, n - 1) / n)


def table(rows):
    out = []
    texts = list(dict.fromkeys(r["text"] for r in rows))
    for text in texts:
        encodings = list(dict.fromkeys(r["encoding"] for r in rows if r["text"] == text))
        kinds = list(dict.fromkeys((r["method"], r["calibration"]) for r in rows if r["text"] == text))
        out += [f"\nmean KL on {text}", "| | " + " | ".join(encodings) + " |", "|---" * (len(encodings) + 1) + "|"]
        for method, calibration in kinds:
            cells = []
            for encoding in encodings:
                of = {(r["method"], r["calibration"]): r for r in rows if r["text"] == text and r["encoding"] == encoding}
                here = of.get((method, calibration))
                if not here:
                    cells.append("")
                    continue
                first = next(iter(of.values()))
                cell = f"{float(here['kl']):.4f}"
                if here is not first:
                    change, error = paired(*[[float(x) for x in r["per_chunk"].split()] for r in (here, first)])
                    errors = change / error if error else float("nan")
                    cell += f" {float(here['kl']) / float(first['kl']):.2f} ({errors:+.0f})"
                cells.append(cell)
            name = method if not calibration else f"{method}, {calibration}"
            out.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--carat", required=True)
    parser.add_argument("--model", required=True, help="full-precision GGUF")
    parser.add_argument("--calibration", type=named, action="append", required=True, metavar="NAME=FILE[,FILE...]")
    parser.add_argument("--text", type=named, action="append", required=True, metavar="NAME=FILE", help="to judge by")
    parser.add_argument("--csv", required=True)
    parser.add_argument("--encodings", default="INT4_G128,INT3_G128,Q4_K_M,Q3_K_M,Q2_K")
    parser.add_argument("--methods", default="nearest,hqq,search,importance,awq,gptq,awq+gptq")
    parser.add_argument("--domain-methods", default="", help="those to run with the further calibration sets")
    parser.add_argument("--sequences", type=int, default=33, help="of 512 tokens, of each calibration set")
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    threads = ["--threads", str(args.threads)]
    domain = args.domain_methods.split(",") if args.domain_methods else []
    rows = []
    if os.path.exists(args.csv):
        with open(args.csv, newline="") as f:
            rows = list(csv.DictReader(f))
    with tempfile.TemporaryDirectory() as folder:
        statistics = {}

        def data_options(method, name, files):
            options = [o for f in files for o in ("--text", f)] + ["--chunks", str(args.sequences)]
            if "gptq" in method:
                return options
            if name not in statistics:
                statistics[name] = os.path.join(folder, f"{name}.gguf")
                run_json([args.carat, "calibrate", args.model, "-o", statistics[name], "--json", *options, *threads])
            return ["--calibration", statistics[name]]

        def measure(encoding, method, calibration, files):
            texts = args.text if method in domain else args.text[:1]
            missing = [t for t in texts if not any((r["encoding"], r["method"], r["calibration"], r["text"]) ==
                                                       (encoding, method, calibration, t[0]) for r in rows)]
            if not missing:
                return
            out = os.path.join(folder, "out.gguf")
            options = data_options(method, calibration, files) if calibration else []
            begin = time.monotonic()
            report = run_json([args.carat, "quantize", args.model, out, "--to", encoding, "--json", "--force", "--method",
                               "search" if method == "importance" else method, *options, *threads])
            seconds = time.monotonic() - begin
            for name, files in missing:
                card = run_json([args.carat, "perplexity", out, "--reference", args.model, "--text", files[0], "--chunks",
                                 str(args.chunks), "--ctx", "512", "--json", *threads])
                rows.append({"encoding": encoding, "method": method, "calibration": calibration, "text": name,
                             "kl": card["kl"]["mean"], "standard_error": card["kl"]["standard_error"],
                             "perplexity": card["perplexity"], "seconds": round(seconds, 1),
                             "bytes": report["output_bytes"],
                             "per_chunk": " ".join(f"{x:.6g}" for x in card["kl"]["per_chunk"])})
                print(f"{encoding} {method} {calibration} {name}: {rows[-1]['kl']:.4f}", file=sys.stderr, flush=True)
            with open(args.csv, "w", newline="") as f:
                writer = csv.DictWriter(f, FIELDS)
                writer.writeheader()
                writer.writerows(rows)

        for encoding in args.encodings.split(","):
            for method in args.methods.split(","):
                if not any(part in NEEDS_DATA for part in method.split("+")):
                    measure(encoding, method, "", [])
                    continue
                for i, (name, files) in enumerate(args.calibration):
                    if i == 0 or method in domain:
                        measure(encoding, method, name, files)
    print(table(rows))


if __name__ == "__main__":
    main()
