#!/usr/bin/env python3
"""Prints the table of ./quickstart from the JSON that carat wrote.

    tools/quickstart_table.py PREFIX RECIPE...

Reads PREFIX.RECIPE.quantize.json and PREFIX.RECIPE.perplexity.json. Ends with an error if a row contains a fallback:
then the name of the recipe would not say what is in the file.
"""
import json
import sys


def read(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def main():
    prefix, recipes = sys.argv[1], sys.argv[2:]
    rows, fallbacks, score = [], [], None
    for recipe in recipes:
        made = read(f"{prefix}.{recipe}.quantize.json")
        score = read(f"{prefix}.{recipe}.perplexity.json")
        fallbacks += made["fallbacks"]
        rows.append([recipe, f"{made['output_bytes']:,}", f"{made['bits_per_weight']:.3f}", f"{made['seconds']:.1f}",
                     f"{score['perplexity']:.3f}", f"{score['kl']['mean']:.5f}", f"{score['kl']['p99']:.4f}",
                     f"{score['kl_floor']['mean']:.5f}", f"{100 * score['same_top_p']:.2f} %"])
    header = ["recipe", "bytes", "bits/weight", "seconds", "perplexity", "KL mean", "KL p99", "KL floor", "same top token"]
    rows.insert(0, header)
    reference = score["reference"]
    rows.insert(1, ["BF16", f"{made['input_bytes']:,}", "16.000", "", f"{reference['perplexity']:.3f}", "", "", "", ""])
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    for row in rows:
        print(row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:])), sep="  ")
    print(f"\n{score['tokens']} tokens scored in {score['chunks']} chunks of {score['context']}; perplexity "
          f"+- {score['perplexity_standard_error']:.2f} (the text's, common to all rows).")
    print("KL: nats per token from the BF16 model, whose activations are not rounded; its floor is what perfect weights")
    print("would show through the rounding of activations.")
    if fallbacks:
        sys.exit("fallbacks: " + "; ".join(fallbacks))


if __name__ == "__main__":
    main()
