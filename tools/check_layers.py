#!/usr/bin/env python3
"""Compares the #includes in src/ with the layer rules in the CMake files.

    tools/check_layers.py [SOURCE_DIR]

The rule of a folder is the DEPS list of its carat_layer() call: a file may include headers of its own folder and of
those. The DEPS themselves may only name folders that stand above in the root CMakeLists.txt, so that there is no cycle.
Intrinsics stay in the folders of their instruction sets, and nothing in src/ includes what lies outside.
"""
import os
import re
import sys

INTRINSICS = re.compile(r"\b(_mm\d*_\w+|__m(128|256|512)[id]?|__builtin_ia32_(?!pause)\w+)\b")
INTRINSIC_FOLDERS = ("simd/", "kernels/avx2/", "kernels/avx_vnni/", "kernels/avx512/")
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def layer_rules(root):
    """{folder: set of folders it may include}, and problems of the rules themselves."""
    order = re.findall(r"^add_subdirectory\(src/(\w+)\)", read(os.path.join(root, "CMakeLists.txt")), re.M)
    rules, problems = {}, []
    for position, folder in enumerate(order):
        path = f"src/{folder}/CMakeLists.txt"
        call = re.search(r"carat_layer\(\s*(\w+)([^)]*)\)", read(os.path.join(root, path)))
        if call is None or call.group(1) != folder:
            problems.append(f"{path}: no carat_layer({folder} ...)")
            continue
        deps, listing = set(), False
        for word in call.group(2).split():
            if word in ("DEPS", "LIBS"):
                listing = word == "DEPS"
            elif listing:
                deps.add(word)
        for dep in sorted(deps):
            if dep not in order[:position]:
                problems.append(f"{path}: {dep} does not stand above {folder} in CMakeLists.txt")
        rules[folder] = deps
    return rules, problems


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    src = os.path.join(root, "src")
    rules, problems = layer_rules(root)
    files = 0
    for folder in sorted(os.listdir(src)):
        if folder not in rules:
            problems.append(f"src/{folder}: not in CMakeLists.txt")
            continue
        for directory, _, names in os.walk(os.path.join(src, folder)):
            for name in sorted(names):
                if not name.endswith((".h", ".cc", ".inc")):
                    continue
                files += 1
                path = os.path.join(directory, name)
                shown = os.path.relpath(path, root)
                text = read(path)
                for include in INCLUDE.findall(text):
                    first = include.split("/")[0]
                    if not os.path.exists(os.path.join(src, include)):
                        problems.append(f'{shown}: "{include}" is not a path below src/')
                    elif first != folder and first not in rules[folder]:
                        problems.append(f'{shown}: "{include}", but {folder} does not list {first} in its DEPS')
                used = INTRINSICS.search(text)
                if used and not os.path.relpath(path, src).startswith(INTRINSIC_FOLDERS):
                    problems.append(f"{shown}: {used.group()}: intrinsics belong in {', '.join(INTRINSIC_FOLDERS)}")
    for problem in problems:
        print(problem)
    print(f"{files} files in {len(rules)} layers, {len(problems)} problems")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
