#!/usr/bin/env python3
"""Writes golden/encodings/NAME.bin: blocks of random bytes and the values the gguf package decodes from them.

Needs the packages gguf and numpy. A file is N blocks, then N * block float32 values, little-endian. The f16
parameters are random but finite, so that values can be compared by their bits.

    tools/make_golden_encodings.py [DIRECTORY]
"""

import sys
from pathlib import Path

import gguf
import numpy as np

# Where the f16 parameters lie in a block.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
    "TQ1_0": [52], "TQ2_0": [64], "MXFP4": [], "NVFP4": [],
    "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ1_S": [0], "IQ1_M": [],
}


def random_blocks(rng, name, offsets, count):
    """[count, bytes of a block], all of whose numbers are finite."""
    data = rng.integers(0, 256, (count, gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]][1]), dtype=np.uint8)
    for offset in offsets:
        bits = rng.integers(0, 0x7C00, count, dtype=np.uint16)
        bits[: count // 4] &= 0x3FF  # some subnormals
        bits |= rng.integers(0, 2, count, dtype=np.uint16) << np.uint16(15)
        data[:, offset : offset + 2] = bits.view(np.uint8).reshape(count, 2)
    if name == "MXFP4":
        data[:, 0] %= 250  # the largest scales overflow
    if name == "IQ1_M":  # its f16 is spread over the high nibbles of four words; bit 14 is in the last
        data[:, 55] &= 0xBF
    return data


def main() -> None:
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "golden/encodings")
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20250101)
    for name, offsets in HALVES.items():
        kind = gguf.GGMLQuantizationType[name]
        block, _ = gguf.GGML_QUANT_SIZES[kind]
        data = random_blocks(rng, name, offsets, (16384 if name.startswith("IQ") and name[2] < "4" else 2048) // block)
        values = gguf.quants.dequantize(data.reshape(1, -1), kind).astype("<f4")
        assert values.size == len(data) * block and np.isfinite(values).all()
        (directory / f"{name}.bin").write_bytes(data.tobytes() + values.tobytes())


if __name__ == "__main__":
    main()
