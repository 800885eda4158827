#!/usr/bin/env python3
"""How far to draw Hessians to their diagonals, for each kind of input: judged by KL on text held out from them.

Quantizes with error feedback at the default share; then, for one kind of input at a time, with other shares; then with those together
that gained more than a standard error (having been chosen on that text, they will gain less on other). Every file is judged
against its source on --held, which should be like the calibration text and have none of it. Ratios are to the default's KL, with
the standard errors of the differences per chunk.

  choose_shrink.py --carat build/release/bin/carat --model smollm2-768-bf16.gguf --text calibration.txt --held held.txt --to Q3_K_M
"""
import argparse
import os
import tempfile

from compare_methods import paired, run_json

KINDS = ("attention", "attention_output", "feed_forward", "down")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--carat", required=True)
    parser.add_argument("--model", required=True, help="full-precision GGUF")
    parser.add_argument("--text", required=True, help="for calibration")
    parser.add_argument("--held", required=True, help="to judge by")
    parser.add_argument("--to", default="Q3_K_M")
    parser.add_argument("--method", default="gptq")
    parser.add_argument("--propagate", default="0")
    parser.add_argument("--default", type=float, default=0.4)
    parser.add_argument("--shares", default="0.2,0.6")
    parser.add_argument("--sequences", type=int, default=33)
    parser.add_argument("--chunks", type=int, default=12)
    args = parser.parse_args()
    if args.chunks < 2:
        parser.error("--chunks: two or more, for standard errors")
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.gguf")

        def kl(shares):
            words = ",".join([str(args.default), *(f"{kind}={share}" for kind, share in shares.items())])
            run_json([args.carat, "quantize", args.model, out, "--to", args.to, "--method", args.method, "--text", args.text,
                      "--chunks", str(args.sequences), "--shrink", words, "--propagate", args.propagate, "--force", "--json"])
            return run_json([args.carat, "perplexity", out, "--reference", args.model, "--text", args.held, "--chunks",
                             str(args.chunks), "--ctx", "512", "--json"])["kl"]["per_chunk"]

        base = kl({})
        mean = sum(base) / len(base)
        print(f"all {args.default}: {mean:.4f}", flush=True)

        def tell(shares):
            """The difference to the default's KL, in standard errors."""
            change, error = paired(kl(shares), base)
            words = ", ".join(f"{kind} {share}" for kind, share in shares.items())
            print(f"{words}: {1 + change / mean:.3f} +- {error / mean:.3f}", flush=True)
            return change / error if error else 0

        best = {}
        for kind in KINDS:
            gains = {share: tell({kind: share}) for share in map(float, args.shares.split(","))}
            share = min(gains, key=gains.get)
            if gains[share] < -1:
                best[kind] = share
        if len(best) > 1:
            tell(best)


if __name__ == "__main__":
    main()
