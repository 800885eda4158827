"""What the tests of the program share: calling it, files made by hand, a folder that goes away. Standard library only.

Each test file is called as  NAME_test.py CARAT SOURCE_DIR [unittest options].
"""
import array
import json
import os
import re
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

CARAT, SOURCE = sys.argv[1:3]
STORIES = os.path.join(SOURCE, "golden/stories260K.gguf")
TEXT = os.path.join(SOURCE, "golden/text/illustrious_client.txt")
F32 = 0


def carat(*arguments, stdin="", **more):
    return subprocess.run([CARAT, *arguments], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=300, **more)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def gguf_string(s):
    data = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(tensors, metadata=b"", keys=0, version=3, count=None):
    """A GGUF file: tensors are (name, columns, rows, kind, bytes); metadata is already serialised."""
    info, data = b"", b""
    for name, columns, rows, kind, content in tensors:
        data += b"\0" * (-len(data) % 32)
        info += gguf_string(name) + struct.pack("<IQQIQ", 2, columns, rows, kind, len(data))
        data += content
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors) if count is None else count, keys) + metadata + info
    return head + b"\0" * (-len(head) % 32) + data


def weights(n, seed=1):
    r = random.Random(seed)
    return array.array("f", [r.gauss(0, 0.02) for _ in range(n)])


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="carat-cli-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content)
        return self.path(name)

    def succeed(self, *arguments, **more):
        done = carat(*arguments, **more)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        return done

    def document(self, *arguments, **more):
        document = json.loads(self.succeed(*arguments, "--json", **more).stdout)
        self.assertEqual(next(iter(document)), "schema_version")
        return document

    def refuse(self, code, *arguments, says=None, **more):
        """Fails with that status, nothing on stdout, one sentence on stderr; in JSON the same, as a document."""
        before = sorted(os.listdir(self.directory))
        done = carat(*arguments, **more)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stderr}")
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"\Acarat[a-z ]*: error: [^\n]+\n\Z")
        if says:
            self.assertIn(says, done.stderr)
        document = json.loads(carat(*arguments, "--json", **more).stdout)
        self.assertEqual(document["error"]["code"], code)
        available = lambda text: re.sub(r"[\d.]+ ([kMGT]?B are available)", r"\1", text)  # changes between two runs
        self.assertIn(available(document["error"]["message"]), available(done.stderr))
        self.assertEqual(sorted(os.listdir(self.directory)), before, "something was written")
        return done


def main():
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
