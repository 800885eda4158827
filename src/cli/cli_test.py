#!/usr/bin/env python3
"""The program as its users meet it: words, exit codes, JSON, signals. Standard library only.

    cli_test.py CARAT SOURCE_DIR [unittest options]
"""
import array
import errno
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

CARAT = SOURCE = STORIES = TEXT = ""
VERBS = ["inspect", "verify", "convert", "quantize", "run", "perplexity", "bench"]
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
        self.assertIn(document["error"]["message"], done.stderr)
        self.assertEqual(sorted(os.listdir(self.directory)), before, "something was written")
        return done


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
                        says=f"unknown activation scheme '{wrong}'; there are int8_block, int8_32, float32;")
        self.refuse(64, "run", STORIES, says="-p")
        self.refuse(64, "run", STORIES, "-p", "x", "--temp", "-1", says="temperature")
        self.refuse(64, "quantize", STORIES, self.path("o.gguf"), says="--to")
        self.refuse(64, "quantize", STORIES, "--to", "Q8_0", says="--dry-run")
        self.refuse(64, "perplexity", STORIES, "--text", TEXT, "--floor", says="--reference")

    def test_options_of_later_versions_are_unknown(self):
        for option in ("--calibration=x", "--size=1G", "--bpw=4"):
            self.refuse(64, "quantize", STORIES, self.path("o"), "--to", "Q8_0", option, says="unknown option")

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


class Run(Case):
    story = "there was a little girl named Lily. She loved to play outside in the park."

    def test_greedy(self):
        done = self.succeed("run", STORIES, "-p", "Once upon a time", "--temp", "0", "-n", "60")
        self.assertIn(self.story, done.stdout)
        self.assertRegex(done.stderr, r"tokens out, [\d.]+/s")

    def test_prompt_from_standard_input(self):
        done = self.succeed("run", STORIES, "-p", "-", "--temp", "0", "-n", "60", stdin="Once upon a time")
        self.assertIn(self.story, done.stdout)

    def test_document(self):
        d = self.document("run", STORIES, "-p", "Once upon a time", "--temp", "0", "-n", "60")
        self.assertIn(self.story, d["text"])
        self.assertEqual(d["stop_reason"], "max_tokens")
        self.assertEqual(d["tokens"], 60)
        self.assertGreater(d["tokens_per_second"], 0)

    def test_same_seed_same_text_whatever_the_threads(self):
        def text(seed, threads):
            return self.succeed("run", STORIES, "-p", "A dog", "-n", "50", "--temp", "1", "--seed", seed, "--threads",
                                threads).stdout
        self.assertEqual(text("7", "1"), text("7", "3"))
        self.assertNotEqual(text("7", "1"), text("8", "1"))

    def test_chat_needs_a_template(self):
        self.refuse(65, "run", STORIES, "--chat", "-p", "Hello", says="template")

    def test_context_is_bounded(self):
        d = self.document("run", STORIES, "-p", "Once", "--ctx", "20", "-n", "100", "--temp", "0")
        self.assertEqual(d["stop_reason"], "context_full")
        self.assertEqual(d["context"], 20)
        self.refuse(64, "run", STORIES, "-p", "Once upon a time", "--ctx", "2",
                    says="tokens, the context holds 2; use --ctx or a shorter prompt")
        self.refuse(64, "run", STORIES, "-p", "Once", "--ctx", "0", says="--ctx")

    def test_context_beyond_the_training_is_a_note(self):
        trained = self.document("inspect", STORIES)["config"]["context_length"]
        note = f"was trained for at most {trained} tokens"
        at_most = self.succeed("run", STORIES, "-p", "Once", "-n", "1", "--ctx", str(trained))
        beyond = self.succeed("run", STORIES, "-p", "Once", "-n", "1", "--ctx", str(trained + 1))
        self.assertEqual((note in at_most.stderr, note in beyond.stderr), (False, True))
        scored = self.succeed("perplexity", STORIES, "--text", TEXT, "--ctx", str(trained + 8), "--chunks", "1")
        self.assertIn(note, scored.stderr)

    def test_no_tokens_only_reads_the_prompt(self):
        done = self.succeed("run", STORIES, "-p", "Once upon a time", "-n", "0")
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"tokens in, [\d.]+/s; 0 tokens out")
        d = self.document("run", STORIES, "-p", "Once upon a time", "-n", "0")
        self.assertEqual((d["text"], d["tokens"], d["stop_reason"]), ("", 0, "max_tokens"))


class Perplexity(Case):
    def test_document(self):
        small = self.path("q8.gguf")
        self.succeed("quantize", STORIES, small, "--to", "Q8_0", "--allow-fallback")
        d = self.document("perplexity", small, "--text", TEXT, "--ctx", "128", "--chunks", "3", "--reference", STORIES,
                          "--floor")
        self.assertEqual((d["chunks"], d["context"], d["tokens"]), (3, 128, 3 * 63))
        self.assertGreater(d["perplexity"], 1)
        self.assertLess(abs(d["perplexity"] / d["reference"]["perplexity"] - 1), 0.05)
        self.assertTrue(0 <= d["kl"]["median"] <= d["kl"]["p99"] <= d["kl"]["max"])
        self.assertGreater(d["kl"]["mean"], 0)
        self.assertGreater(d["kl_floor"]["mean"], 0)
        self.assertTrue(0.5 < d["same_top_p"] <= 1)
        text = self.succeed("perplexity", small, "--text", TEXT, "--ctx", "128", "--chunks", "3").stdout
        self.assertIn(f"{d['perplexity']:.4f}", text)

    def test_a_model_is_no_distance_from_itself(self):
        d = self.document("perplexity", STORIES, "--text", TEXT, "--ctx", "64", "--chunks", "2", "--reference", STORIES)
        self.assertEqual((d["kl"]["max"], d["same_top_p"]), (0, 1))
        self.assertEqual(d["perplexity"], d["reference"]["perplexity"])


class Convert(Case):
    def test_there_and_back(self):
        directory, back = self.path("hf"), self.path("back.gguf")
        self.succeed("convert", STORIES, directory, "--to", "f32")
        self.assertTrue(os.path.exists(os.path.join(directory, "config.json")))
        self.assertIn("good Hugging Face directory", self.succeed("verify", directory).stdout)
        self.refuse(64, "convert", STORIES, directory, "--to", "f16", says="exists already")
        self.succeed("convert", directory, back)
        first, second = self.document("inspect", STORIES, "--ranges"), self.document("inspect", back, "--ranges")
        of = lambda d: {t["name"]: (t["shape"], t["encoding"], t["min"], t["max"]) for t in d["tensors"]}
        self.assertEqual(of(first), of(second))
        greedy = lambda m: self.succeed("run", m, "-p", "Once upon a time", "--temp", "0", "-n", "40").stdout
        self.assertEqual(greedy(STORIES), greedy(directory))
        self.assertEqual(greedy(STORIES), greedy(back))

    def test_transforms_keep_the_function(self):
        wide = self.path("wide.gguf")
        self.succeed("convert", STORIES, wide, "--rescale", "1", "--widen", "128:16:256", "--to", "f32")
        d = self.document("inspect", wide)
        self.assertEqual((d["config"]["width"], d["config"]["heads"], d["config"]["feed_forward"]), (128, 16, 256))
        d = self.document("perplexity", wide, "--text", TEXT, "--ctx", "64", "--chunks", "4", "--reference", STORIES)
        self.assertLess(d["kl"]["max"], 1e-3)
        self.assertGreater(d["same_top_p"], 0.99)

    def test_mistakes(self):
        out = self.path("o.gguf")
        self.refuse(64, "convert", STORIES, out, "--to", "q4_k", says="f32")
        self.refuse(64, "convert", STORIES, out, "--container", "zip", says="gguf")
        self.refuse(64, "convert", STORIES, out, "--rescale", "x", says="--rescale")
        self.refuse(64, "convert", STORIES, out, "--rescale", "1:-1", says="--rescale")
        for widths in ("12", "64:7", "x", "128:16:256:9", "0", "99999999999999999999"):
            self.refuse(64, "convert", STORIES, out, "--widen", widths)
        copy = self.write("copy.gguf", read(STORIES))
        self.refuse(64, "convert", copy, copy, "--to", "f16")


class Quantize(Case):
    def test_document(self):
        out = self.path("o.gguf")
        d = self.document("quantize", STORIES, out, "--to", "Q8_0", "--tensor", "ffn_down=F16")
        self.assertEqual(d["output_bytes"], os.path.getsize(out))
        self.assertEqual(d["fallbacks"], [])
        for key in ("input_bytes", "bits_per_weight", "seconds", "peak_rss_bytes"):
            self.assertGreater(d[key], 0, key)
        for t in d["tensors"]:
            self.assertTrue(set(t) >= {"name", "from", "to", "method", "relative_error"})
            if t["to"] == "Q8_0":
                self.assertTrue(0 < t["relative_error"] < 1e-3)
        self.assertEqual({t["to"] for t in d["tensors"]}, {"Q8_0", "F16", "F32"})
        self.assertEqual(self.document("verify", out)["ok"], True)
        self.assertEqual(self.document("inspect", out)["bits_per_weight"], d["bits_per_weight"])

    def test_dry_run_is_exact_to_the_byte(self):
        out = self.path("o.gguf")
        arguments = ["--to", "Q4_0", "--allow-fallback"]
        plan = self.document("quantize", STORIES, "--dry-run", *arguments)
        self.assertEqual(os.listdir(self.directory), [])
        done = self.document("quantize", STORIES, out, *arguments)
        self.assertEqual(plan["output_bytes"], os.path.getsize(out))
        self.assertEqual(plan["bits_per_weight"], done["bits_per_weight"])
        self.assertEqual(plan["fallbacks"], done["fallbacks"])
        self.assertNotEqual(plan["fallbacks"], [])  # 172 columns do not divide into blocks of 32
        self.assertIn("nothing was written", self.succeed("quantize", STORIES, "--dry-run", *arguments).stdout)

    def test_shapes_that_do_not_fit(self):
        done = self.refuse(64, "quantize", STORIES, self.path("o.gguf"), "--to", "Q4_K_M")
        for part in ("256", "--allow-fallback"):
            self.assertIn(part, done.stderr)

    def test_same_bytes_for_any_number_of_threads(self):
        outs = [self.path(f"{n}.gguf") for n in (1, 2, 5)]
        for out, n in zip(outs, "125"):
            self.succeed("quantize", STORIES, out, "--to", "Q4_0", "--allow-fallback", "--threads", n)
        self.assertEqual(read(outs[0]), read(outs[1]))
        self.assertEqual(read(outs[0]), read(outs[2]))

    def test_output_names(self):
        os.mkdir(self.path("directory"))
        for name in ("m.safetensors", "pytorch_model.bin", "config.json"):
            self.refuse(64, "quantize", STORIES, self.path(name), "--to", "F16", says="ends in .gguf")
        self.refuse(64, "quantize", STORIES, self.path("directory"), "--to", "F16", says="is a directory")
        out = self.write("no_ending", b"what was there before")
        self.succeed("quantize", STORIES, out, "--to", "F16")
        self.assertIn("good GGUF file", self.succeed("verify", out).stdout)

    def test_input_is_never_the_output(self):
        copy = self.write("m.gguf", read(STORIES))
        os.link(copy, self.path("link.gguf"))
        os.symlink(copy, self.path("symlink.gguf"))
        for out in ("m.gguf", "link.gguf", "symlink.gguf"):
            self.refuse(64, "quantize", copy, self.path(out), "--to", "Q8_0", "--allow-fallback")
        self.assertEqual(read(copy), read(STORIES))

    def test_requantizing_needs_leave(self):
        first, second = self.path("a.gguf"), self.path("b.gguf")
        self.succeed("quantize", STORIES, first, "--to", "Q8_0", "--allow-fallback")
        self.refuse(64, "quantize", first, second, "--to", "Q4_0", "--allow-fallback", says="--allow-requantize")
        self.succeed("quantize", first, second, "--to", "Q4_0", "--allow-fallback", "--allow-requantize")

    def test_rules(self):
        rules = self.write("rules.toml", b'base = "Q8_0"\n[[rule]]\ntensor = "attn_v"\nencoding = "F16"\n')
        d = self.document("quantize", STORIES, "--dry-run", "--rules", rules, "--allow-fallback")
        to = {t["name"]: t["to"] for t in d["tensors"]}
        self.assertEqual((to["blk.0.attn_v.weight"], to["blk.0.attn_k.weight"]), ("F16", "Q8_0"))
        d = self.document("quantize", STORIES, "--dry-run", "--rules", rules, "--to", "Q4_0", "--tensor", "attn_v=Q5_0",
                          "--allow-fallback")
        to = {t["name"]: t["to"] for t in d["tensors"]}
        self.assertEqual((to["blk.0.attn_v.weight"], to["blk.0.attn_k.weight"]), ("Q5_0", "Q4_0"))
        self.refuse(65, "quantize", STORIES, "--dry-run", "--rules", self.write("bad.toml", b"base = [\n"), says="bad.toml")
        self.refuse(64, "quantize", STORIES, "--dry-run", "--to", "Q8_0", "--tensor", "attn_v")
        self.refuse(64, "quantize", STORIES, "--dry-run", "--to", "Q8_0", "--tensor", "no_such_tensor=Q8_0")
        self.refuse(64, "quantize", STORIES, "--dry-run", "--to", "Q8_0", "--tensor", "(=Q8_0")

    def test_values_that_are_no_numbers(self):
        values = weights(64)
        values[5] = float("nan")
        model = self.write("nan.gguf", gguf([("blk.0.ffn_up.weight", 64, 1, F32, values.tobytes())]))
        done = carat("quantize", model, self.path("o.gguf"), "--to", "Q8_0")
        self.assertEqual(done.returncode, 65, done.stderr)
        self.assertIn("blk.0.ffn_up.weight", done.stderr)
        self.assertFalse(os.path.exists(self.path("o.gguf")))
        self.assertEqual(carat("verify", model).returncode, 65)


class Interrupted(Case):
    """A model large enough that a signal arrives in the middle."""

    def setUp(self):
        super().setUp()
        values = weights(1 << 16).tobytes() * 16
        names = ["ffn_up", "ffn_gate", "attn_q", "attn_output"]
        self.model = self.write("model.gguf", gguf([(f"blk.{i // 4}.{names[i % 4]}.weight", 1024, 1024, F32, values)
                                                    for i in range(32)]))
        self.whole = self.path("whole.gguf")
        self.succeed("quantize", self.model, self.whole, "--to", "Q4_K_S")

    def start(self, out, *arguments):
        process = subprocess.Popen([CARAT, "quantize", self.model, out, "--to", "Q4_K_S", *arguments],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return process

    def wait_for_some_output(self, process, part):
        """Until that part of the output has been written, or the process has ended."""
        target = part * os.path.getsize(self.whole)
        while process.poll() is None:
            with open(f"/proc/{process.pid}/io") as f:
                if int(re.search(r"wchar: (\d+)", f.read()).group(1)) >= target:
                    return
            time.sleep(0.001)

    def test_interrupt_then_resume(self):
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            out = self.path(f"{signal_number}.gguf")
            process = self.start(out)
            self.wait_for_some_output(process, 0.3)
            process.send_signal(signal_number)
            stdout, stderr = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 130, stderr)
            self.assertEqual(stdout, "")
            self.assertIn("--resume", stderr)
            self.assertFalse(os.path.exists(out))
            again = carat("quantize", self.model, out, "--to", "Q4_K_S")
            self.assertNotEqual(again.returncode, 0)
            self.assertIn("--resume", again.stderr)
            other = carat("quantize", self.model, out, "--to", "Q5_K_S", "--resume")
            self.assertNotEqual(other.returncode, 0)
            d = self.document("quantize", self.model, out, "--to", "Q4_K_S", "--resume")
            self.assertGreater(d["resumed_tensors"], 0)
            self.assertEqual(read(out), read(self.whole))
            self.assertFalse([n for n in os.listdir(self.directory) if "partial" in n or "journal" in n])

    def test_kill_at_any_moment_then_resume(self):
        out = self.path("killed.gguf")
        for part in (0.0, 0.1, 0.4, 0.8):
            process = self.start(out, "--resume")
            self.wait_for_some_output(process, part)
            process.kill()
            process.communicate(timeout=60)
            self.assertFalse(os.path.exists(out) and process.returncode != 0)
        self.succeed("quantize", self.model, out, "--to", "Q4_K_S", "--resume")
        self.assertEqual(read(out), read(self.whole))

    def test_force_begins_anew(self):
        out = self.path("forced.gguf")
        process = self.start(out)
        self.wait_for_some_output(process, 0.2)
        process.kill()
        process.communicate(timeout=60)
        self.succeed("quantize", self.model, out, "--to", "Q4_K_S", "--force")
        self.assertEqual(read(out), read(self.whole))


if __name__ == "__main__":
    CARAT, SOURCE = sys.argv[1], sys.argv[2]
    STORIES = os.path.join(SOURCE, "golden/stories260K.gguf")
    TEXT = os.path.join(SOURCE, "golden/text/illustrious_client.txt")
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
