#!/usr/bin/env python3
"""The program as its users meet it: words, exit codes, bad input, inspect."""
import array
import errno
import os
import re
import struct
import subprocess

from cli_testing import CARAT, F32, STORIES, TEXT, carat, Case, gguf, gguf_string, main, read

VERBS = ["inspect", "verify", "convert", "quantize", "run", "perplexity", "suite", "evaluate", "compare", "gate", "report",
         "bench"]


class Words(Case):
    def test_help(self):
        text = self.succeed("--help").stdout
        for verb in VERBS:
            self.assertIn(verb, text)
            of_verb = self.succeed(verb, "--help").stdout
            for part in ("Usage:", "Examples:", "Exit codes:", "--json"):
                self.assertIn(part, of_verb, verb)
            for line in of_verb.splitlines():
                self.assertLessEqual(len(line), 120, line)

    def test_every_option_is_explained(self):
        for verb in VERBS:
            lines = self.succeed(verb, "--help").stdout.splitlines()
            for line, following in zip(lines, lines[1:] + [""]):
                if re.match(r"  -", line):  # the explanation stands behind the option or on the next line
                    self.assertTrue(re.match(r"  \S.*\S  +\S", line) or re.match(r" {20}", following), line)

    def test_help_that_nobody_can_read(self):
        for words in (["--help"], ["run", "--help"], ["--version"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([CARAT, *words], stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 74)
            self.assertIn("No space left on device", done.stderr)

    def test_version(self):
        self.assertRegex(self.succeed("--version").stdout, r"^carat \d+\.\d+\.\d+\n$")

    def test_mistakes(self):
        self.refuse(64, says="no verb")
        self.refuse(64, "inspct", STORIES, says="did you mean 'inspect'")
        self.refuse(64, "frobnicate", says="unknown verb 'frobnicate'")
        self.refuse(64, "inspect", says="MODEL")
        self.refuse(64, "inspect", STORIES, "--rangs", says="did you mean '--ranges'")
        self.refuse(64, "inspect", STORIES, "another", says="another")
        self.refuse(64, "inspect", STORIES, "--threads", "0", says="--threads: 0 is outside 1 to 1024")
        self.refuse(64, "inspect", STORIES, "--threads", "9" * 30, says="is outside 1 to 1024")
        for wrong in ("many", "1.5", "", "2x"):
            self.refuse(64, "inspect", STORIES, "--threads", wrong, says=f"--threads: '{wrong}' is not a whole number")
        self.refuse(64, "run", STORIES, "-p", "x", "--temp", "hot", says="--temp: 'hot' is not a number")
        self.refuse(64, "run", STORIES, "-p", "x", "--seed", "-1", says="--seed: -1 is outside 0 to")
        for wrong in ("int9", "0", "2", ""):
            self.refuse(64, "run", STORIES, "-p", "x", "--activations", wrong,
                        says=f"unknown activation scheme '{wrong}'; there are int8_block, int8_32, "
                        "int8_token, int8_token_outliers, bfloat16, float32;")
        self.refuse(64, "run", STORIES, says="-p")
        self.refuse(64, "run", STORIES, "-p", "x", "--temp", "-1", says="temperature")
        self.refuse(64, "quantize", STORIES, self.path("o.gguf"), says="--to")
        self.refuse(64, "quantize", STORIES, "--to", "Q8_0", says="--dry-run")
        self.refuse(64, "perplexity", STORIES, "--text", TEXT, "--floor", says="--reference")

    def test_options_that_do_not_exist_are_unknown(self):
        self.refuse(64, "quantize", STORIES, self.path("o"), "--to", "Q8_0", "--bits=4", says="unknown option")

    def test_unknown_recipe_lists_recipes(self):
        done = self.refuse(64, "quantize", STORIES, self.path("o.gguf"), "--to", "Q4_K_X")
        for recipe in ("Q4_K_M", "Q8_0", "Q2_K"):
            self.assertIn(recipe, done.stderr)

    def test_environment(self):
        self.refuse(64, "inspect", STORIES, env={**os.environ, "CARAT_ISA": "abacus"}, says="abacus")
        self.succeed("inspect", STORIES, env={**os.environ, "CARAT_ISA": "portable"})


class Inputs(Case):
    def calls(self, path):
        yield ["inspect", path]
        yield ["verify", path]
        yield ["convert", path, self.path("out.gguf"), "--to", "f16"]
        yield ["convert", path, self.path("out"), "--to", "bf16"]
        yield ["quantize", path, self.path("out.gguf"), "--to", "Q8_0"]
        yield ["quantize", path, "--to", "Q8_0", "--dry-run"]
        yield ["run", path, "-p", "x"]
        yield ["perplexity", path, "--text", TEXT]

    def test_missing(self):
        for call in self.calls(self.path("nothing.gguf")):
            self.refuse(66, *call, says="nothing.gguf")
        self.refuse(66, "perplexity", STORIES, "--text", self.path("nothing.txt"), says="nothing.txt")
        self.refuse(66, "quantize", STORIES, self.path("o"), "--rules", self.path("nothing.toml"), says="nothing.toml")

    def test_links_in_a_circle(self):
        os.symlink(self.path("a.gguf"), self.path("b.gguf"))
        os.symlink(self.path("b.gguf"), self.path("a.gguf"))
        for call in self.calls(self.path("a.gguf")):
            self.refuse(66, *call, says=os.strerror(errno.ELOOP))

    def test_text_that_is_not_utf8(self):
        done = self.succeed("run", STORIES, "-n", "2", "-p", b"gr\xff\xfen")
        self.assertIn("note: the prompt is not valid UTF-8: 2 of its 5 bytes belong to no character", done.stderr)
        text = self.write("latin1.txt", b"caf\xe9 " * 200)
        done = self.succeed("perplexity", STORIES, "--text", text, "--ctx", "64", "--chunks", "1")
        self.assertIn("latin1.txt is not valid UTF-8: 200 of its 1000 bytes belong to no character", done.stderr)
        self.assertNotIn("UTF-8", self.succeed("run", STORIES, "-n", "2", "-p", "gr\u00fcn").stderr)

    def test_directory_without_a_model(self):
        os.mkdir(self.path("empty"))
        for call in self.calls(self.path("empty")):
            self.refuse(66, *call, says="empty")

    def test_hostile_files(self):
        good = read(STORIES)
        tensor = ("t", 32, 1, F32, b"\0" * 128)
        files = {
            "empty": b"",
            "four_bytes": b"GGUF",
            "text": b"this is not a model\n" * 10,
            "truncated_header": good[:1000],
            "truncated_data": good[:-1000],
            "version": gguf([tensor], version=99),
            "tensor_count": gguf([tensor], count=1 << 60),
            "key_count": gguf([tensor], keys=1 << 60),
            "shape_wraps": gguf([("t", 1 << 33, 1 << 33, F32, b"")]),
            "beyond_the_end": gguf([("t", 1 << 20, 1 << 10, F32, b"\0" * 128)]),
            "kind": gguf([("t", 32, 1, 4096, b"\0" * 128)]),
            "same_name": gguf([tensor, tensor]),
            "long_key": gguf([tensor], metadata=struct.pack("<Q", 1 << 62), keys=1),
        }
        for name, content in files.items():
            path = self.write(name + ".gguf", content)
            for call in self.calls(path):
                self.refuse(65, *call, says=name)

    def test_metadata_of_the_wrong_type_name_their_file(self):
        good = read(STORIES)
        number = gguf_string("general.architecture") + struct.pack("<II", 4, 7)
        files = {
            "architecture": gguf([("t", 32, 1, F32, b"\0" * 128)], number, 1),
            "tokenizer": good.replace(gguf_string("tokenizer.ggml.tokens"), gguf_string("tokenizer.ggml.tokenz")),
        }
        for name, content in files.items():
            path = self.write(name + ".gguf", content)
            calls = [["convert", path, self.path("out"), "--to", "bf16"], ["run", path, "-p", "x"]]
            if name == "architecture":
                calls.append(["quantize", path, "--to", "Q8_0", "--dry-run"])
            for call in calls:
                self.refuse(65, *call, says=f"{path}: ")

    def test_names_cannot_drive_the_terminal(self):
        path = self.write("escape.gguf", gguf([("\x1b[2J", 32, 1, F32, b"\0" * 128)]))
        self.assertNotIn("\x1b", self.succeed("inspect", path).stdout)
        self.assertEqual(self.document("inspect", path)["tensors"][0]["name"], "\x1b[2J")

    def test_text_shorter_than_a_chunk(self):
        self.refuse(64, "perplexity", STORIES, "--text", self.write("short.txt", b"Once upon a time"))


class Outputs(Case):
    def test_full_disk(self):
        with open("/dev/full", "w") as full:
            for arguments in (["inspect", STORIES], ["run", STORIES, "-p", "Once"], ["inspect", STORIES, "--json"]):
                done = subprocess.run([CARAT, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual(done.returncode, 74)
                self.assertIn("standard output", done.stderr)

    def test_closed_pipe_is_quiet(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = subprocess.run([CARAT, "inspect", STORIES], stdout=write_end, stderr=subprocess.PIPE, text=True)
        os.close(write_end)
        self.assertEqual((done.returncode, done.stderr), (74, ""))

    def test_quiet(self):
        self.assertEqual(self.succeed("run", STORIES, "-p", "Once", "-n", "5", "--quiet").stderr, "")

    def test_no_directory_to_write_to(self):
        self.refuse(74, "quantize", STORIES, self.path("none/o.gguf"), "--to", "F16", says="none")


class Inspect(Case):
    def test_document(self):
        d = self.document("inspect", STORIES, "--ranges", "--metadata")
        self.assertEqual(d["container"], "gguf")
        self.assertEqual(d["architecture"], "llama")
        self.assertEqual(d["file_bytes"], os.path.getsize(STORIES))
        self.assertEqual(d["parameters"], sum(self.elements(t) for t in d["tensors"]))
        self.assertAlmostEqual(d["bits_per_weight"], 32)
        self.assertEqual(d["config"]["layers"], 5)
        self.assertEqual(d["tokenizer"]["tokens"], 512)
        self.assertIn("general.architecture", d["metadata"])
        for t in d["tensors"]:
            self.assertEqual(t["encoding"], "F32")
            self.assertEqual(t["bytes"], 4 * self.elements(t))
            self.assertLess(t["min"], t["max"])
            self.assertEqual(t["not_finite"], 0)

    @staticmethod
    def elements(tensor):
        n = 1
        for d in tensor["shape"]:
            n *= d
        return n

    def test_text(self):
        text = self.succeed("inspect", STORIES).stdout
        for part in ("llama", "token_embd.weight", "F32", "5 layers"):
            self.assertIn(part, text)
        for line in text.splitlines():
            if STORIES not in line:  # a path is as long as it is
                self.assertLessEqual(len(line), 80, line)

    def test_ranges_are_those_of_the_values(self):
        values = array.array("f", [float(i) for i in range(-40, 88)])
        values[3] = float("nan")
        d = self.document("inspect", self.write("r.gguf", gguf([("t", 64, 2, F32, values.tobytes())])), "--ranges")
        self.assertEqual([d["tensors"][0][k] for k in ("min", "max", "not_finite")], [-40, 87, 1])

    def test_unknown_architecture_is_shown_anyway(self):
        key = gguf_string("general.architecture") + struct.pack("<I", 8) + gguf_string("martian")
        d = self.document("inspect", self.write("m.gguf", gguf([("t", 32, 1, F32, b"\0" * 128)], key, 1)))
        self.assertEqual(d["architecture"], "martian")
        self.assertIn("martian", d["problem"])


if __name__ == "__main__":
    main()
