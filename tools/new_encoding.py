#!/usr/bin/env python3
"""Begins a new encoding: a header that works, its place in the list, and golden values to test it with.

    tools/new_encoding.py NAME --type GGUF_TYPE [--block 32] [--bits 4]

What comes of it is a plain symmetric encoding: blocks of columns under one f16 scale, codes of 1, 2, 4 or 8 bits in ascending
columns. It can be read, written by every method, verified and run at once; then change layout and levels to what the
encoding is, here and in the golden values. docs/extending.md goes through one that was made that way.
"""
import argparse
import re
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent

HEADER = '''// {name}: {block} columns under one f16 scale, {bits}-bit codes around {center}.
//   0  f16 d
//   2  u8 qs[{bytes}]   bits {bits}h of byte j: column {run}h + j   (j < {run})
// Value: d * (q - {center}), one float32 product.
#pragma once

#include <string_view>

#include "encodings/planes.h"

namespace carat {{

struct {name} : BlockFacts<{block}, 32, {two_level}, Offset::none> {{
  static constexpr std::string_view kName = "{name}";
  static constexpr uint32_t kGgmlType = {type};
  static constexpr int kCodes = {codes};{scales}
  CARAT_ENCODING_INLINE constexpr int level(int code) {{ return code - {center}; }}

  struct [[gnu::packed]] Block {{
    uint16_t d;
    uint8_t qs[{bytes}];
  }};
  static_assert(sizeof(Block) == {size});

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {{
    p = {{}};
    p.d = b.d;{fill}
    for (int h = 0; h < {fields}; ++h) take_bits(b.qs, {bits} * h, {mask}, 0, p.code.data() + {run} * h, {run});
  }}

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {{
    b = {{}};
    b.d = p.d;
    for (int h = 0; h < {fields}; ++h) put_bits(p.code.data() + {run} * h, {bits} * h, {mask}, 0, b.qs, {run});
  }}
}};

}}  // namespace carat
'''


def golden(block, bits):
    """Blocks of random bytes, then what they decode to: the layout said a second time, without the header."""
    rng = np.random.default_rng(1)
    count, size = 2048 // block, 2 + block * bits // 8
    data = rng.integers(0, 256, (count, size), dtype=np.uint8)
    halves = rng.integers(0, 0x7C00, count, dtype=np.uint16) | (rng.integers(0, 2, count, dtype=np.uint16) << np.uint16(15))
    data[:, :2] = halves.view(np.uint8).reshape(count, 2)
    scale = data[:, :2].copy().view(np.float16).astype(np.float32)
    fields = [data[:, 2:] >> (bits * h) & (2**bits - 1) for h in range(8 // bits)]
    codes = np.concatenate(fields, axis=1).astype(np.float32)
    return data.tobytes() + (scale * (codes - np.float32(2 ** (bits - 1)))).astype("<f4").tobytes()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("name", help="such as Q4_X: letters in capitals, digits and underscores")
    p.add_argument("--type", type=int, required=True, help="its number in GGUF files")
    p.add_argument("--block", type=int, choices=[32, 256], default=32, help="columns of a block (default 32)")
    p.add_argument("--bits", type=int, choices=[1, 2, 4, 8], default=4, help="of a code (default 4)")
    a = p.parse_args()
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", a.name):
        p.error(f"'{a.name}' is no name of an encoding, such as Q4_X")
    if not 0 <= a.type < 2**32 or a.type in (4, 5, 31, 32, 33, 36, 37, 38):
        p.error(f"type {a.type} is no number for a type, or one of those that GGUF has retired")

    lists = ROOT / "src/encodings/all.h"
    text = lists.read_text()
    header = ROOT / f"src/encodings/{a.name.lower()}.h"
    if header.exists() or re.search(rf"\b{a.name}\b", text):
        p.error(f"{a.name} is there already")
    for other in (ROOT / "src/encodings").glob("*.h"):
        if re.search(rf"kGgmlType = {a.type};", other.read_text()):
            p.error(f"type {a.type} is that of src/encodings/{other.name}")

    includes = sorted(re.findall(r'#include "encodings/.*"\n', text) + [f'#include "encodings/{a.name.lower()}.h"\n'])
    start = text.index('#include "encodings/')
    rest = re.sub(r'#include "encodings/.*"\n', "", text[start:])
    rest, found = re.subn(r"(using AllEncodings =\s*EncodingList<[^>]*)>;", rf"\g<1>, {a.name}>;", rest)
    if found != 1:
        sys.exit(f"{lists}: the list AllEncodings is not where it was")
    carried = ROOT / "src/encodings/storage_only.cc"
    kept = re.sub(rf'    carried\("{a.name}", .*\n', "", carried.read_text())
    if re.search(rf'carried\("\w+", {a.type},', kept):
        sys.exit(f"{carried}: type {a.type} is carried under another name; take that name, or its line out")
    two_level = a.block == 256  # leaves of 32 that share one scale
    header.write_text(HEADER.format(
        name=a.name, block=a.block, bits=a.bits, type=a.type, center=2 ** (a.bits - 1), codes=2**a.bits, mask=2**a.bits - 1,
        bytes=a.block * a.bits // 8, size=2 + a.block * a.bits // 8, run=a.block * a.bits // 8, fields=8 // a.bits,
        two_level="true" if two_level else "false",
        scales="\n  static constexpr int kScaleLow = 1, kScaleHigh = 1;" if two_level else "",
        fill="\n    p.scale.fill(1);" if two_level else ""))
    lists.write_text(text[:start] + "".join(includes) + rest)
    carried.write_text(kept)

    (ROOT / f"golden/encodings/{a.name}.bin").write_bytes(golden(a.block, a.bits))
    print(f"""{header.relative_to(ROOT)} and its line in src/encodings/all.h are there, and golden/encodings/{a.name}.bin.

  clang-format -i src/encodings/all.h src/encodings/{a.name.lower()}.h
  cmake --build --preset release --target encodings_test kernels_test rounders_test && ctest --test-dir build/release -R 'encodings|kernels|rounders'

All typed suites now test {a.name}. Change layout and levels in the header, and the golden values: add {a.name} to
tools/make_golden_encodings.py where the gguf package decodes it. Next (docs/extending.md):
  - fast products: `EveryEncodingHasAFastProduct` fails until src/kernels/generic/unpack_*.h can unpack it;
  - starting points of its search: src/kernels/generic/search_grids.h;
  - a row of docs/numerics.md, and recipes that use it: src/recipes/mixes.cc.""")


if __name__ == "__main__":
    main()
