#!/usr/bin/env python3
"""carat quantize against llama-quantize, recipe by recipe, from one full-precision GGUF.

For each recipe both programs write a file from the same source with the same threads, in turn; carat judges both files
against the source in lock-step (KL), and llama.cpp reports the perplexity of carat's file so that the two engines are
checked against each other. Prints a table; --csv keeps it.

Needs llama-cpp-python (PyPI). Example:
  compare_recipes.py --carat build/release/bin/carat --model smollm2-768-bf16.gguf --text prose.txt --chunks 16
"""
import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def run_json(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def paired_ratio(ours, theirs):
    """Ratio of the means of per-chunk KL, and the upper 95 % bound by the delta method on paired chunks."""
    n = len(ours)
    mean_a, mean_b = sum(ours) / n, sum(theirs) / n
    ratio = mean_a / mean_b
    if n < 2:
        return ratio, float("nan")
    residuals = [(a - ratio * b) / mean_b for a, b in zip(ours, theirs)]
    error = math.sqrt(sum(r * r for r in residuals) / (n - 1) / n)
    return ratio, ratio + 1.645 * error


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--carat", required=True)
    parser.add_argument("--model", required=True, help="full-precision GGUF")
    parser.add_argument("--text", required=True)
    parser.add_argument("--chunks", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--recipes", default="Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q4_0,Q3_K_M,Q2_K,IQ4_XS,IQ4_NL,Q5_0,Q4_1,Q5_1")
    parser.add_argument("--carat-options", default="", help="further options for carat quantize")
    parser.add_argument("--llama-perplexity", action="store_true", help="cross-check perplexity with llama.cpp")
    parser.add_argument("--csv")
    args = parser.parse_args()
    peer = [sys.executable, os.path.join(HERE, "peer_llama.py")]
    threads = ["--threads", str(args.threads)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for recipe in args.recipes.split(","):
            ours, theirs = os.path.join(folder, "ours.gguf"), os.path.join(folder, "theirs.gguf")
            report = run_json([args.carat, "quantize", args.model, ours, "--to", recipe, "--json", "--force",
                               *args.carat_options.split(), *threads])
            other = run_json([*peer, "quantize", args.model, theirs, recipe, *threads])
            judged = {}
            for name, path in (("ours", ours), ("theirs", theirs)):
                judged[name] = run_json([args.carat, "perplexity", path, "--text", args.text, "--reference", args.model,
                                         "--chunks", str(args.chunks), "--json", *threads])
            ratio, upper = paired_ratio(judged["ours"]["kl"]["per_chunk"], judged["theirs"]["kl"]["per_chunk"])
            row = {
                "recipe": recipe,
                "bytes": os.path.getsize(ours), "llama_bytes": os.path.getsize(theirs),
                "seconds": round(report["seconds"], 2), "llama_seconds": round(other["seconds"], 2),
                "kl": judged["ours"]["kl"]["mean"], "llama_kl": judged["theirs"]["kl"]["mean"],
                "ratio": round(ratio, 4), "upper95": round(upper, 4),
                "perplexity": judged["ours"]["perplexity"], "llama_file_perplexity": judged["theirs"]["perplexity"],
            }
            if args.llama_perplexity:
                check = run_json([*peer, "perplexity", ours, "--text", args.text, "--chunks", str(args.chunks), *threads])
                row["perplexity_by_llama"] = check["perplexity"]
            rows.append(row)
            print("  ".join(f"{k}={v:.5g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()), flush=True)
    if args.csv:
        with open(args.csv, "w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, fieldnames=rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
