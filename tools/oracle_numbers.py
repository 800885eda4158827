#!/usr/bin/env python3
"""Compares how carat rounds and decodes numbers with numpy, ml_dtypes, the gguf package and bitsandbytes.

    oracle_numbers.py --carat BUILD/bin/carat [--only NAME]

Matrices, plain and hostile, are written with the gguf package, rounded by `carat quantize --method nearest` and read
back through `carat convert --to f32`. What is compared:

    all codes of F16, BF16, FP8, and of E2M1 under all scales of MXFP4 and NVFP4     numpy, ml_dtypes: equal
    every GGUF encoding that carat writes, decoded                                   gguf: equal
    F16 and BF16, rounded                                                            numpy, ml_dtypes: equal
    INT2 to INT8, with and without zero points, per group, row and tensor            the rule of GPTQ and
    compressed-tensors in numpy, under scales rounded to F16: equal but for ties
    FP8 per row, tensor and 128 x 128 block; MXFP4; NVFP4                            ml_dtypes: equal but for ties
    NF4 under its rule for scales in numpy                                           equal but for ties
    that rule, row by row, where bitsandbytes and torch can be imported (they are large, and not among the
    requirements)                                                                    bitsandbytes: scales
    to 4 units in the last place of the row's largest, but for ties

"Ties" are weights that lie, to within 1e-5 of a step, in the middle of two levels. Prints one line per check; exit
status 0 if all hold, 1 otherwise.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import gguf
import ml_dtypes
import numpy as np

from make_golden_encodings import HALVES, random_blocks

E4M3, E2M1, BF16 = ml_dtypes.float8_e4m3fn, ml_dtypes.float4_e2m1fn, ml_dtypes.bfloat16
TIE = 1e-5  # of a step
COLUMNS = 768  # whole blocks of every encoding

failures = checks = 0


def check(name, ok, detail=""):
    global failures, checks
    checks += 1
    failures += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {name}{': ' + detail if detail else ''}")


class Carat:
    def __init__(self, program, directory, only):
        self.program, self.directory, self.only = program, directory, only

    def path(self, name):
        return os.path.join(self.directory, name)

    def run(self, *arguments):
        done = subprocess.run([self.program, *arguments, "-q"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"carat {' '.join(arguments)}: {done.stderr.strip()}")

    def write(self, name, tensors):
        """tensors: name -> (array of bytes or floats, type or None)"""
        writer = gguf.GGUFWriter(self.path(name), "llama")
        for tensor, (data, kind) in tensors.items():
            writer.add_tensor(tensor, data, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return self.path(name)

    @staticmethod
    def read(path):
        return {t.name: t for t in gguf.GGUFReader(path).tensors}

    def decoded(self, path):
        """name -> float32 [rows, columns], as carat decodes the file."""
        self.run("convert", path, self.path("decoded.gguf"), "--to", "f32")
        return {name: np.array(t.data, np.float32) for name, t in self.read(self.path("decoded.gguf")).items()}

    def rounded(self, matrices, encoding):
        """The path of the matrices in that encoding, and what they decode to, by name."""
        source = self.write("source.gguf", {tensor_name(n): (m, None) for n, m in matrices.items()})
        self.run("quantize", source, self.path("rounded.gguf"), "--to", encoding, "--method", "nearest")
        values = self.decoded(self.path("rounded.gguf"))
        return self.path("rounded.gguf"), {n: values[tensor_name(n)] for n in matrices}


def tensor_name(name):
    return f"blk.0.{name}.weight"


def matrices():
    """name -> float32 [rows, COLUMNS]. Rows are few and odd in number, so that none is like its neighbour by luck."""
    rng = np.random.default_rng(11)
    shape = (131, COLUMNS)  # more than a tile of 128 rows, and no whole number of them
    normal = rng.standard_normal(shape)
    found = {"normal": 0.02 * normal, "heavy": 0.02 * normal * np.exp(rng.standard_normal(shape)),
             "zeros": np.zeros((3, COLUMNS)), "constant": np.full((5, COLUMNS), -0.37),
             "positive": np.abs(normal[:7]) + 0.1, "negative": -np.abs(normal[:7]) - 0.1,
             "huge": 1e9 * normal[:5], "large": 3e4 * normal[:5], "small": 1e-6 * normal[:5],
             "denormal": 1e-40 * normal[:5], "half_denormal": 6e-8 * normal[:5]}
    outlier = 0.01 * normal[:9]
    outlier[4, 300] = 1000
    found["outlier"] = outlier
    sparse = np.zeros((5, COLUMNS))
    sparse[1, 7], sparse[2, 100], sparse[3, :3] = 1, -1, (1e-30, -2, 3)
    found["sparse"] = sparse
    steps = np.tile(np.arange(COLUMNS) % 31 - 15, (3, 1)) / np.float64([[2], [4], [64]])
    found["steps"] = steps  # on grids, and between
    return {name: m.astype(np.float32) for name, m in found.items()}


def held(reach):
    """Those matrices that an encoding does not refuse whose scales end at `reach`."""
    return {name: m for name, m in MATRICES.items() if np.abs(m).max() <= reach}


def to_f16(x):
    """As F16 holds a scale, which ends at the largest finite number."""
    with np.errstate(over="ignore"):
        half = x.astype(np.float32).astype(np.float16).astype(np.float32)
    return np.where(np.isinf(half), np.copysign(np.float32(65504), half), half)


def over(x, scale):
    """x / scale in double; 0 where scale is."""
    scale = np.broadcast_to(np.float64(scale), x.shape)
    return np.divide(x.astype(np.float64), scale, out=np.zeros(x.shape), where=scale != 0)


def compare(ours, x, scale, levels):
    """ours against float32(scale * level) with the level nearest to x / scale; ties may go either way. `levels` maps x / scale to the levels below and above it, which are the same where it is on one, or
    beyond the last. Returns whether all are so, and what is not."""
    t = over(x, scale)
    below, above = levels(t)
    scale = np.broadcast_to(np.float32(scale), x.shape)
    with np.errstate(over="ignore"):
        low, high = (scale * l.astype(np.float32) for l in (below, above))
    off = (t - below) - (above - t)  # negative: the lower is nearer
    tie = np.abs(off) <= 2 * TIE * np.maximum(above - below, 1e-30)
    ok = np.where(off < 0, ours == low, ours == high) | (tie & ((ours == low) | (ours == high)))
    detail = ""
    if not ok.all():
        at = tuple(int(i) for i in np.argwhere(~ok)[0])
        detail = (f"{(~ok).sum()} of {ok.size} differ, first {at}: {x[at]} became {ours[at]}, "
                  f"not {(low if off[at] < 0 else high)[at]}, scale {scale[at]}")
    return ok.all(), detail


def integer_levels(first, last):
    def levels(t):
        t = np.clip(t, first, last)
        return np.floor(t), np.ceil(t)
    return levels


def float_levels(kind, largest):
    """Of the finite numbers of an ml_dtypes type, by its own rounding: the nearest, and its neighbour on the other
    side of t."""
    codes = np.arange(2 ** (8 * np.dtype(kind).itemsize), dtype=np.uint8)
    numbers = codes.view(kind) if kind is not E2M1 else codes[:16].astype(np.uint8).view(kind)
    numbers = np.unique(numbers.astype(np.float64)[np.isfinite(numbers.astype(np.float64))])
    numbers = numbers[np.abs(numbers) <= largest]

    def levels(t):
        t = np.clip(t, -largest, largest)
        nearest = t.astype(np.float32).astype(kind).astype(np.float64)
        up = np.clip(np.searchsorted(numbers, t, "left"), 0, len(numbers) - 1)
        down = np.clip(np.searchsorted(numbers, t, "right") - 1, 0, len(numbers) - 1)
        assert ((nearest == numbers[up]) | (nearest == numbers[down])).all()
        return numbers[down], numbers[up]
    return levels


def grouped(m, width):
    """[rows, groups, width]; width 0: whole rows."""
    return m.reshape(m.shape[0], -1, width or m.shape[1])


def check_integers(carat):
    matrices = held(2e5)  # the largest of which goes beyond what F16 scales of two bits hold
    for bits in (2, 3, 4, 8):
        last = 2 ** bits - 1
        for asym in (False, True):
            for ending, width in (("_G32", 32), ("_G64", 64), ("_G128", 128), ("_G384", 384), ("_CHANNEL", 0),
                                  ("_TENSOR", None)):
                encoding = f"INT{bits}{'_ASYM' if asym else ''}{ending}"
                if carat.only not in encoding:
                    continue
                _, found = carat.rounded(matrices, encoding)
                for name, m in matrices.items():
                    x = m.reshape(1, 1, -1) if width is None else grouped(m, width)
                    low = np.minimum(x.min(axis=2, keepdims=True), 0)
                    high = np.maximum(x.max(axis=2, keepdims=True), 0)
                    scale = to_f16((high - low) / np.float32(last) if asym else np.maximum(high, -low) / np.float32(last / 2))
                    zero = np.rint(np.clip(over(-low, scale), 0, last)) if asym else (last + 1) // 2
                    ok, detail = compare(found[name].reshape(x.shape), x, scale, integer_levels(-zero, last - zero))
                    if not ok:
                        check(f"{encoding}: {name}", False, detail)
                        break
                else:
                    check(f"{encoding}: scales, zero points and codes of {len(matrices)} matrices", True)


def fp8_scale(largest):
    scale = (largest / np.float32(448)).astype(np.float32)
    return np.where(scale < np.float32(2.0 ** -100), np.float32(0), scale)  # an inverse of less might be infinite


def check_fp8(carat):
    for ending in ("_CHANNEL", "_TENSOR", "_BLOCK128"):
        encoding = "FP8" + ending
        if carat.only not in encoding:
            continue
        _, found = carat.rounded(MATRICES, encoding)
        for name, m in MATRICES.items():
            size = np.abs(m)
            if ending == "_CHANNEL":
                largest = size.max(axis=1, keepdims=True)
            elif ending == "_TENSOR":
                largest = size.max(keepdims=True)
            else:
                tiles = [[size[r:r + 128, c:c + 128].max() for c in range(0, COLUMNS, 128)] for r in range(0, len(m), 128)]
                largest = np.repeat(np.repeat(np.float32(tiles), 128, 0)[:len(m)], 128, 1)
            ok, detail = compare(found[name], m, fp8_scale(largest), float_levels(E4M3, 448))
            if not ok:
                check(f"{encoding}: {name}", False, detail)
                break
        else:
            check(f"{encoding}: scales and codes of {len(MATRICES)} matrices", True)
    if carat.only not in "FP8_CHANNEL":
        return
    # All finite codes, of rows whose scale is 1. They lie in the file behind it, in order.
    codes = np.uint8([c for c in range(256) if c & 0x7f != 0x7f] + 2 * [0])
    numbers = np.tile(codes.view(E4M3).astype(np.float32), (2, 1))
    path, found = carat.rounded({"codes": numbers}, "FP8_CHANNEL")
    check("FP8: every finite number becomes itself", np.array_equal(found["codes"], numbers))
    with open(path, "rb") as f:
        check("FP8: and every code is ml_dtypes'", np.float32(1).tobytes() + codes.tobytes() in f.read())


def check_small_floats(carat):
    if carat.only in "MXFP4":
        _, found = carat.rounded(MATRICES, "MXFP4")
        for name, m in MATRICES.items():
            x = grouped(m, 32)
            largest = np.abs(x).max(axis=2, keepdims=True).astype(np.float64)
            exponent = np.floor(np.log2(np.maximum(largest, 2.0 ** -120))) - 2
            ok, detail = compare(found[name].reshape(x.shape), x, 2.0 ** exponent, float_levels(E2M1, 6))
            if not ok:
                check(f"MXFP4: {name}", False, detail)
                break
        else:
            check(f"MXFP4: scales and codes of {len(MATRICES)} matrices", True)
        check_all_mxfp4(carat)
    if carat.only in "NVFP4":
        matrices = held(448 * 6)
        _, found = carat.rounded(matrices, "NVFP4")
        for name, m in matrices.items():
            x = grouped(m, 16)
            largest = np.abs(x).max(axis=2, keepdims=True)
            scale = np.clip(largest / np.float32(6), 2.0 ** -9, 448).astype(E4M3).astype(np.float32)
            ok, detail = compare(found[name].reshape(x.shape), x, scale, float_levels(E2M1, 6))
            if not ok:
                check(f"NVFP4: {name}", False, detail)
                break
        else:
            check(f"NVFP4: scales and codes of {len(matrices)} matrices", True)
        check_all_nvfp4(carat)


def check_all_mxfp4(carat):
    """Every E2M1 under every E8M0 but 255, which is a NaN there and 2^128 in ggml; where a product is infinite, 0."""
    scales = np.arange(255, dtype=np.uint8)
    with np.errstate(over="ignore"):
        values = np.outer(scales.view(ml_dtypes.float8_e8m0fnu).astype(np.float32),
                          np.arange(16, dtype=np.uint8).view(E2M1).astype(np.float32))
    codes = np.where(np.isfinite(values), np.arange(16, dtype=np.uint8), 0)
    values = np.where(np.isfinite(values), values, 0)
    # Low nibbles are the first sixteen columns.
    blocks = np.concatenate([scales[:, None], codes | codes << 4], axis=1).astype(np.uint8)
    path = carat.write("all.gguf", {"blk.0.all.weight": (blocks, gguf.GGMLQuantizationType.MXFP4)})
    expected = np.concatenate([values, values], axis=1)
    check("MXFP4: every E2M1 under every E8M0", np.array_equal(carat.decoded(path)["blk.0.all.weight"], expected))


def check_all_nvfp4(carat):
    """Every E2M1 under every unsigned E4M3 but 127, which is a NaN there and 0 in ggml."""
    scales = np.arange(127, dtype=np.uint8)
    values = np.outer(scales.view(E4M3).astype(np.float32), np.arange(16, dtype=np.uint8).view(E2M1).astype(np.float32))
    half = np.arange(8, dtype=np.uint8)
    block = np.tile(half | half + 8 << 4, 4)  # low nibbles are the first eight columns of sixteen
    blocks = np.concatenate([np.repeat(scales[:, None], 4, 1), np.tile(block, (127, 1))], axis=1)
    path = carat.write("all.gguf", {"blk.0.all.weight": (blocks, gguf.GGMLQuantizationType.NVFP4)})
    check("NVFP4: every E2M1 under every E4M3",
          np.array_equal(carat.decoded(path)["blk.0.all.weight"], np.tile(values, (1, 4))))


def check_floats(carat):
    """The codes of F16 and BF16, and rounding to them."""
    all_codes = np.arange(65536, dtype=np.uint16)
    for kind, name, exponent in ((np.float16, "F16", 0x7c00), (BF16, "BF16", 0x7f80)):
        if carat.only not in name:
            continue
        codes = all_codes[all_codes & exponent != exponent].reshape(-1, 256)
        data = codes.view(np.float16) if name == "F16" else codes.view(np.uint8)
        path = carat.write("all.gguf", {"blk.0.all.weight": (data, None if name == "F16" else gguf.GGMLQuantizationType.BF16)})
        found = carat.decoded(path)["blk.0.all.weight"]
        check(f"{name}: every finite code", np.array_equal(found.view(np.uint32),
                                                           codes.view(kind).astype(np.float32).view(np.uint32)))
        bits = np.random.default_rng(5).integers(0, 2 ** 32, (64, COLUMNS), dtype=np.uint32)
        some = {**MATRICES, "bits": np.where(bits & 0x7f800000 == 0x7f800000, 0, bits).astype(np.uint32).view(np.float32)}
        with np.errstate(over="ignore"):
            some = {n: m for n, m in some.items() if np.isfinite(m.astype(kind).astype(np.float32)).all()}
        source = carat.write("source.gguf", {tensor_name(n): (m, None) for n, m in some.items()})
        carat.run("convert", source, carat.path("rounded.gguf"), "--to", name)
        found = carat.read(carat.path("rounded.gguf"))
        same = all(found[tensor_name(n)].data.tobytes() == m.astype(kind).tobytes() for n, m in some.items())
        check(f"{name}: {len(some)} matrices, rounded", same)


def check_gguf(carat):
    """Random blocks of every quantized encoding of GGUF, decoded by the gguf package."""
    rng = np.random.default_rng(3)
    for name, halves in HALVES.items():
        if carat.only not in name:
            continue
        kind = gguf.GGMLQuantizationType[name]
        data = random_blocks(rng, name, halves, 384).reshape(64, -1)
        path = carat.write("all.gguf", {"blk.0.all.weight": (data, kind)})
        found = carat.decoded(path)["blk.0.all.weight"]
        check(f"{name}: {data.size} random bytes as the gguf package decodes them",
              np.array_equal(found, gguf.quants.dequantize(data, kind)))


NF4 = np.float32([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
                  -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
                  0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
                  0.7229568362236023, 1.0])


def nf4_levels(t):
    t = np.clip(t, -1, 1)
    levels = NF4.astype(np.float64)
    return levels[np.searchsorted(levels, t, "right") - 1], levels[np.searchsorted(levels, t, "left")]


def nf4_largest(m):
    """What scales are to come near to; of less than 2^-100 the inverse might be infinite, and it counts as 0."""
    largest = np.abs(grouped(m, 64)).max(axis=2)
    return np.where(largest < np.float32(2.0 ** -100), np.float32(0), largest)


def nf4_scales(largest):
    """Double quantization of a row's scales [rows, up to 256 groups], in float32."""
    sizes = [10.0 ** (i - 6) * (0.1 + 0.9 * (np.arange(2 ** i) + 0.5) / 2 ** i) for i in range(7)]
    positive = np.concatenate(sizes)
    dynamic = np.sort(np.concatenate([-positive, [0], positive, [1]])).astype(np.float32)
    mean = largest.astype(np.float64).mean(axis=1, keepdims=True).astype(np.float32)
    off = largest - mean
    reach = np.abs(off).max(axis=1, keepdims=True)
    part = np.divide(off, reach, out=np.zeros_like(off), where=reach > 0)
    code = np.abs(part[:, :, None] - dynamic).argmin(axis=2)
    return dynamic[code] * reach + mean


def check_nf4(carat):
    if carat.only not in "NF4":
        return
    _, found = carat.rounded(MATRICES, "NF4")
    for name, m in MATRICES.items():
        x = grouped(m, 64)
        ok, detail = compare(found[name].reshape(x.shape), x, nf4_scales(nf4_largest(m))[:, :, None], nf4_levels)
        if not ok:
            check(f"NF4: {name}", False, detail)
            break
    else:
        check(f"NF4: scales and codes of {len(MATRICES)} matrices", True)
    try:
        import bitsandbytes.functional as bnb
        import torch
    except ImportError as missing:
        print(f"skip NF4: bitsandbytes ({missing})")
        return
    state = bnb.quantize_4bit(torch.zeros(1, 64), blocksize=64, quant_type="nf4")[1]
    check("NF4: bitsandbytes' levels", np.array_equal(state.code.numpy(), NF4))
    off, ties, groups = 0.0, 0, 0
    for name, m in MATRICES.items():
        if name == "denormal":  # zeros here
            continue
        largest = nf4_largest(m)
        scales, theirs = nf4_scales(largest), np.empty_like(largest)
        for r, row in enumerate(m):  # double quantization ends with a row in carat, with a tensor in bitsandbytes
            _, state = bnb.quantize_4bit(torch.tensor(row[None]), blocksize=64, quant_type="nf4", compress_statistics=True)
            theirs[r] = (bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset).numpy()
        allowed = np.spacing(largest.max(axis=1, keepdims=True))
        far = np.abs(scales - theirs) / allowed
        # bitsandbytes finds the nearer of two codes to about a hundredth of their distance.
        own, its = np.abs(largest - scales), np.abs(largest - theirs)
        tie = (far > 4) & (np.abs(own - its) <= 0.01 * (own + its))
        off, ties, groups = max(off, far[~tie].max()), ties + tie.sum(), groups + tie.size
    check(f"NF4: bitsandbytes' scales of {groups} groups, row by row", off <= 4 and ties <= groups // 500,
          f"off by up to {off:.0f} units in the last place of a row's largest; {ties} between two codes")


def check_refused(carat):
    """Magnitudes that scales, or the arithmetic of rounding, have no room for."""
    for value, encodings in ((1e9, ("Q8_0", "INT4_G128", "NVFP4")), (1e30, ("Q8_0", "INT4_G128", "FP8_CHANNEL", "NF4"))):
        source = carat.write("source.gguf", {"blk.0.huge.weight": (np.full((2, COLUMNS), value, np.float32), None)})
        for encoding in encodings:
            if carat.only not in encoding:
                continue
            try:
                carat.run("quantize", source, carat.path("rounded.gguf"), "--to", encoding, "--method", "nearest")
                check(f"{encoding}: weights of {value:g} are refused", False)
            except RuntimeError as refusal:
                check(f"{encoding}: weights of {value:g} are refused", "too large" in str(refusal))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--carat", required=True)
    parser.add_argument("--only", default="", help="encodings whose name has this in it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        carat = Carat(arguments.carat, directory, arguments.only)
        for part in (check_floats, check_gguf, check_small_floats, check_integers, check_fp8, check_nf4,
                     check_refused):
            part(carat)
    print(f"{checks} checks, {failures} failures")
    sys.exit(1 if failures or not checks else 0)


MATRICES = matrices()
main()
