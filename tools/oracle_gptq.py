#!/usr/bin/env python3
"""Compares carat's error feedback with the algorithm of the GPTQ paper in double precision.

usage: oracle_gptq.py DRIVER [--columns N] [--rows N] [--seed S]

DRIVER is the program carat_gptq_oracle. The algorithm is written from Frantar et al. 2022, "GPTQ", algorithm 1, with
U from the Cholesky factorisation of the inverse Hessian, one column at a time. It rounds to the scales and offsets
that carat chose, so that what differs is the feedback alone. Exits 1 where the losses tr(D H D^T) differ by more than
1 %, or where carat's is above that of the paper's own grids, from minimum and maximum of each group as it is reached.
"""
import argparse
import subprocess
import sys

import numpy as np

# name: (columns of a group, levels from, to, has an offset)
ENCODINGS = {"Q4_0": (32, -8, 7, False), "Q8_0": (32, -128, 127, False), "Q4_1": (32, 0, 15, True),
             "Q5_1": (32, 0, 31, True), "Q4_K": (32, 0, 15, True)}
BLOCK_BYTES = {"Q4_0": 18, "Q8_0": 34, "Q4_1": 20, "Q5_1": 24, "Q4_K": 144}


def grids(name, raw, rows):
    """Scale and offset of each group, [rows, groups], as float64."""
    blocks = np.frombuffer(raw, np.uint8).reshape(rows, -1, BLOCK_BYTES[name])
    half = lambda at: blocks[..., at:at + 2].copy().view(np.float16)[..., 0].astype(np.float32)
    if name != "Q4_K":
        scale = half(0)
        return scale.astype(float), (half(2) if ENCODINGS[name][3] else np.zeros_like(scale)).astype(float)
    b = blocks[..., 4:16].astype(np.int32)
    low, middle, high = b[..., 0:4], b[..., 4:8], b[..., 8:12]
    scale = np.concatenate([low & 63, (high & 15) | (low >> 6) << 4], -1).astype(np.float32)
    least = np.concatenate([middle & 63, (high >> 4) | (middle >> 6) << 4], -1).astype(np.float32)
    return ((half(0)[..., None] * scale).reshape(rows, -1).astype(float),
            -(half(2)[..., None] * least).reshape(rows, -1).astype(float))


def nearest(w, scale, offset, low, high):
    safe = np.where(scale == 0, 1, scale)
    level = np.clip(np.round((w - offset) / safe), low, high)
    return np.where(scale == 0, 0, scale * level) + offset


def paper(weights, hessian, name, order, chosen=None):
    """Algorithm 1. chosen: scales and offsets; else they are those of each group's extremes when it is reached."""
    group, low, high, has_offset = ENCODINGS[name]
    w = weights[:, order].copy()
    inverse = np.linalg.inv(hessian[np.ix_(order, order)])
    u = np.linalg.cholesky(inverse).T
    rounded = np.zeros_like(w)
    for j, column in enumerate(order):
        if chosen is not None:
            scale, offset = (x[:, column // group] for x in chosen)
        elif j % group == 0:
            now = w[:, j:j + group]
            if has_offset:
                offset = np.minimum(now.min(1), 0)
                scale = (np.maximum(now.max(1), 0) - offset) / (high - low)
            else:
                scale, offset = 2 * np.abs(now).max(1) / (high - low), np.zeros(len(w))
        q = nearest(w[:, j], scale, offset, low, high)
        rounded[:, j] = q
        error = (w[:, j] - q) / u[j, j]
        w[:, j + 1:] -= np.outer(error, u[j, j + 1:])
    out = np.empty_like(rounded)
    out[:, order] = rounded
    return out


def order_of(kind, diagonal, block, leaf):
    columns = np.arange(len(diagonal))
    if kind == "natural":
        return columns
    if kind == "descending":
        return np.argsort(-diagonal, kind="stable")
    greatest = lambda group: np.repeat(diagonal.reshape(-1, group).max(1), group)
    return np.lexsort((columns, -diagonal, -greatest(leaf), -greatest(block)))


def decode(name, raw, rows, columns):
    """carat's values, by the codes' own layout."""
    import gguf
    kind = gguf.GGMLQuantizationType[name]
    blocks = np.frombuffer(raw, np.uint8).reshape(rows, -1)
    return gguf.quants.dequantize(blocks, kind).astype(float)


def loss(weights, rounded, hessian):
    d = weights - rounded
    return float(np.sum((d @ hessian) * d))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("driver")
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    random = np.random.default_rng(o.seed)
    failed = 0
    for tokens, shrink, damp in ((4 * o.columns, 0.0, 0.01), (o.columns // 2, 0.0, 0.05), (4 * o.columns, 0.4, 0.05)):
        scale = np.exp(0.8 * random.standard_normal(o.columns))
        x = random.standard_normal((tokens, o.columns))
        x += 0.4 * random.standard_normal((tokens, 8)) @ random.standard_normal((8, o.columns))
        x *= scale
        hessian = (x.T @ x).astype(np.float32)
        weights = (0.03 * random.standard_t(5, (o.rows, o.columns))).astype(np.float32)
        h, w = hessian.astype(float), weights.astype(float)
        regular = (1 - shrink) * h + (shrink * h.diagonal() + damp * h.diagonal().mean()) * np.eye(o.columns)
        for name in ENCODINGS:
            for kind in ("natural", "descending", "grouped"):
                order = order_of(kind, h.diagonal(), 256 if name == "Q4_K" else 32, 32)
                raw = subprocess.run([o.driver, name, str(o.rows), str(o.columns), str(shrink), str(damp), kind],
                                     input=hessian.tobytes() + weights.tobytes(), stdout=subprocess.PIPE,
                                     check=True).stdout
                ours = decode(name, raw, o.rows, o.columns)
                theirs = paper(w, regular, name, order, grids(name, raw, o.rows))
                a, b = loss(w, ours, regular), loss(w, theirs, regular)
                same = float(np.mean(np.abs(ours - theirs) <= 1e-6 * np.abs(theirs) + 1e-12))
                bad = not abs(a / b - 1) <= 0.01
                line = f"{name:5} {kind:10} tokens {tokens:5} shrink {shrink}: loss {a / b:.5f} of the paper's, {100 * same:.2f} % same codes"
                if kind == "natural":
                    own = loss(w, paper(w, regular, name, order), regular)
                    line += f", {a / own:.3f} of that with its own grids"
                    bad = bad or a > own
                print(line + ("   FAILED" if bad else ""))
                failed += bad
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
