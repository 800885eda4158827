#!/usr/bin/env python3
"""Refuses objects of the wide kernels that define weak symbols.

    tools/check_isa_symbols.py BUILD_DIR

An inline function or template that is compiled for AVX-512 and emitted as a weak symbol may be the one copy the linker
keeps for the whole program, which then dies on processors without AVX-512. Objects under kernels/<isa>/ therefore define
nothing weak (src/simd/target.h). The other objects of the
folder use no wide registers at all.
"""
import glob
import os
import re
import subprocess
import sys

WIDE = ("avx2", "avx_vnni", "avx512")
WEAK = re.compile(r"^[0-9a-f]+ (W) (.+)$")  # V and u are data, which have no instruction set


def weak_symbols(path):
    """Names of the weak symbols that an object defines (not those it only refers to)."""
    out = subprocess.run(["nm", "-C", "--defined-only", path], check=True, capture_output=True, text=True).stdout
    # DW.ref.* are unoptimised builds' pointers to exception handling: data.
    names = [m.group(2) for m in map(WEAK.match, out.splitlines()) if m]
    return [name for name in names if not name.startswith("DW.ref.")]


def uses_wide_registers(path):
    out = subprocess.run(["objdump", "-d", "--no-show-raw-insn", path], check=True, capture_output=True, text=True).stdout
    return "%ymm" in out or "%zmm" in out


def main():
    build = sys.argv[1]
    objects = glob.glob(os.path.join(build, "src/kernels/**/*.o"), recursive=True)
    problems, wide = [], 0
    for path in sorted(objects):
        folder = os.path.basename(os.path.dirname(path))
        if folder in WIDE:
            wide += 1
            problems += [f"{path}: weak symbol {name}" for name in weak_symbols(path)]
        elif "carat_kernels.dir" in path and uses_wide_registers(path):
            problems.append(f"{path}: uses wide registers, but is not in a folder of an instruction set")
    if wide == 0:
        problems.append(f"{build}: no objects of {' or '.join(WIDE)} kernels; build carat_kernels first")
    print("\n".join(problems) or f"{wide} objects of wide kernels define no weak symbols")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
