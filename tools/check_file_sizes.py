#!/usr/bin/env python3
"""Source files stay readable: over 500 lines is a warning, over 1,400 a failure.

    tools/check_file_sizes.py [SOURCE_DIR]
"""
import os
import sys

WARN, FAIL = 500, 1400
FOLDERS = ("src", "fuzz", "bench", "tools", "cmake")
ENDINGS = (".h", ".cc", ".inc", ".py", ".sh", ".cmake")


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    files = failures = 0
    for folder in FOLDERS:
        for directory, _, names in os.walk(os.path.join(root, folder)):
            for name in sorted(names):
                if not name.endswith(ENDINGS):
                    continue
                path = os.path.join(directory, name)
                with open(path, encoding="utf-8") as f:
                    lines = sum(1 for _ in f)
                files += 1
                if lines > FAIL:
                    failures += 1
                    print(f"{os.path.relpath(path, root)}: {lines} lines, more than {FAIL}: divide it")
                elif lines > WARN:
                    print(f"{os.path.relpath(path, root)}: {lines} lines (warning: more than {WARN})")
    print(f"{files} files, {failures} over the limit")
    return 1 if failures or not files else 0


if __name__ == "__main__":
    sys.exit(main())
