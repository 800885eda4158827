#!/usr/bin/env python3
"""calibrate, inspect --outliers and quantize --calibration as their users meet them."""
import json
import os
import signal
import struct
import subprocess
import time

from cli_testing import CARAT, STORIES, TEXT, Case, gguf, gguf_string, main, read


def legacy(entries, chunks=3, dataset="x.txt"):
    """llama.cpp's older importance matrix: entries are (name, calls, values)."""
    out = struct.pack("<i", len(entries))
    for name, calls, values in entries:
        out += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, len(values))
        out += struct.pack(f"<{len(values)}f", *values)
    return out + struct.pack("<ii", chunks, len(dataset)) + dataset.encode()


class Calibrate(Case):
    def calibrated(self, name="s.gguf", *more):
        self.succeed("calibrate", STORIES, "--text", TEXT, "--ctx", "64", "--chunks", "4", "-o", self.path(name), *more)
        return self.path(name)

    def test_document_and_file(self):
        out = self.path("s.gguf")
        d = self.document("calibrate", STORIES, "--text", TEXT, "--ctx", "64", "--chunks", "4", "-o", out)
        self.assertEqual((d["chunks"], d["chunk_tokens"], d["tokens"]), (4, 64, 256))
        self.assertEqual(d["texts"], [TEXT])
        self.assertEqual(d["arithmetic"], "bfloat16")
        self.assertEqual(d["tensors"], 5 * 7 + 1)  # five layers of seven matrices, and the output
        self.assertEqual(len(d["model"]), 64)
        self.assertEqual(sorted(os.listdir(self.directory)), ["s.gguf"])
        again = self.calibrated("again.gguf", "--threads", "1")
        self.assertEqual(read(again), read(out))
        exact = self.document("calibrate", STORIES, "--text", TEXT, "--ctx", "64", "--chunks", "4", "-o",
                              self.path("exact.gguf"), "--activations", "float32")
        self.assertEqual(exact["arithmetic"], "float32")
        self.assertNotEqual(read(self.path("exact.gguf")), read(out))

    def test_merged_files(self):
        first = self.path("a.gguf")
        self.succeed("calibrate", STORIES, "--text", TEXT, "--ctx", "32", "--chunks", "2", "-o", first)
        both = self.document("calibrate", STORIES, "--merge", first, self.calibrated("b.gguf"), "-o",
                             self.path("both.gguf"))
        self.assertEqual(both["chunks"], 2 + 8)  # in sequences of the first file's 32 tokens
        self.assertEqual(len(both["text_digests"]), 2)
        self.refuse(64, "calibrate", STORIES, "--merge", first, first, "-o", self.path("c.gguf"), says="count twice")

    def test_hessians(self):
        stats, hessians, out = self.path("s.gguf"), self.path("h.gguf"), self.path("q.gguf")
        text = ["--text", TEXT, "--ctx", "64", "--chunks", "4"]
        d = self.document("calibrate", STORIES, *text, "-o", stats, "--hessians", hessians)
        self.assertEqual(d["hessians"], hessians)
        self.assertEqual(sorted(os.listdir(self.directory)), ["h.gguf", "s.gguf"])
        quantize = ["quantize", STORIES, out, "--to", "Q4_0", "--allow-fallback"]
        d = self.document(*quantize, "--method", "gptq", "--hessians", hessians)
        self.assertEqual({t["calibration_tokens"] for t in d["tensors"] if t["method"] == "gptq"}, {256})
        # Two texts, added up with and without the model.
        more = self.path("more.gguf")
        done = self.succeed("calibrate", STORIES, "--text", TEXT, "--ctx", "32", "--chunks", "2", "-o", stats, "--hessians",
                            more)
        self.assertRegex(done.stderr, r"more\.gguf will have [0-9.]+ [kM]B of Hessians; those of one layer take [0-9.]+ [kM]B of memory")
        self.succeed("calibrate", STORIES, *text, "-o", stats, "--hessians", self.path("both.gguf"),
                     "--merge-hessians", more)
        self.succeed("calibrate", STORIES, "--merge", stats, "-o", self.path("t.gguf"), "--hessians",
                     self.path("sum.gguf"), "--merge-hessians", more, hessians)
        d = self.document(*quantize, "--method", "gptq", "--hessians", self.path("sum.gguf"))
        self.assertEqual({t["calibration_tokens"] for t in d["tensors"] if t["method"] == "gptq"}, {320})

        self.refuse(65, *quantize, "--method", "gptq", "--hessians", stats, says="of type \"imatrix\", not of Hessians")
        self.refuse(64, *quantize, "--hessians", hessians, says="leave out --hessians, or choose --method gptq")
        self.refuse(64, "calibrate", STORIES, *text, "-o", stats, "--hessians", stats, says="would be written twice")
        self.refuse(64, "calibrate", STORIES, *text, "-o", stats, "--hessians", self.path("./s.gguf"),
                    says="would be written twice")
        self.refuse(64, "calibrate", STORIES, *text, "-o", hessians, "--hessians", out, "--merge-hessians", hessians,
                    says="is read by this run")
        self.refuse(64, "quantize", STORIES, hessians, "--to", "Q4_0", "--method", "gptq", "--hessians", hessians,
                    says="is read by this run")
        self.refuse(65, "quantize", hessians, out, "--to", "Q4_0", says="no model")
        self.refuse(74, "calibrate", STORIES, *text, "-o", self.path("no/s.gguf"), says="cannot write there")
        self.refuse(64, "calibrate", STORIES, *text, "-o", stats, "--merge-hessians", more, says="--hessians FILE")
        self.refuse(64, "calibrate", STORIES, "--merge", stats, "-o", out, "--hessians", hessians,
                    says="nothing to make Hessians of")
        self.refuse(64, "quantize", STORIES, out, "--size", "1MB", "--hessians", hessians, *text, says="a budget")

    def test_conversations(self):
        lines = "\n".join(json.dumps({"messages": [{"role": "user", "content": "Tell me a story."},
                                                   {"role": "assistant", "content": "Once upon a time."}]})
                          for _ in range(40))
        chat = self.write("chat.jsonl", lines.encode())
        # The stories model has no template.
        self.refuse(65, "calibrate", STORIES, "--chat", "--text", chat, "-o", self.path("s.gguf"),
                    says="has no chat template")

    def test_mistakes(self):
        out = self.path("s.gguf")
        self.refuse(64, "calibrate", STORIES, "-o", out, says="--text FILE")
        self.refuse(66, "calibrate", STORIES, "--text", self.path("absent.txt"), "-o", out)
        self.refuse(64, "calibrate", STORIES, "--text", TEXT, "-o", out, "--activations", "int8_32",
                    says="unknown arithmetic 'int8_32'; there are bfloat16, float32")
        self.refuse(65, "calibrate", STORIES, "--text", self.write("empty.txt", b""), "-o", out, says="is empty")
        self.refuse(65, "calibrate", STORIES, "--text", self.write("short.txt", b"Once"), "-o", out,
                    says="fewer than the")
        self.refuse(65, "calibrate", STORIES, "--text", self.write("latin.txt", b"caf\xe9 " * 100), "-o", out,
                    says="is not UTF-8 at byte 3")
        self.refuse(64, "calibrate", STORIES, "--text", TEXT, "--ctx", "1000", "-o", out, says="longer than the")
        self.refuse(64, "calibrate", STORIES, "--text", TEXT, "-o", STORIES, says="is a file of the model")
        self.refuse(64, "calibrate", STORIES, "--text", TEXT, "-o", out, "--format", "csv", says="gguf, dat")
        self.refuse(65, "calibrate", STORIES, "--merge", TEXT, "-o", out, says=TEXT)
        self.refuse(65, "calibrate", STORIES, "--merge", STORIES, "-o", out, says="not statistics")

    def test_outliers(self):
        stats = self.calibrated()
        done = self.succeed("inspect", "--outliers", stats)
        self.assertIn("blk.0.ffn_down.weight", done.stdout)
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 100)
        d = self.document("inspect", "--outliers", stats)
        self.assertEqual(len(d["tensors"]), 36)
        ratios = [t["largest_to_median"] for t in d["tensors"]]
        self.assertEqual(ratios, sorted(ratios, reverse=True))
        self.assertGreaterEqual(ratios[-1], 1)
        self.refuse(65, "inspect", "--outliers", STORIES, says="not statistics")


class Interrupted(Case):
    def interrupted(self, arguments, ready, text=("--text", TEXT)):
        """What it says when it is interrupted once ready(process) is true."""
        process = subprocess.Popen([CARAT, "calibrate", STORIES, *text, *arguments], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        while not ready(process) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
        if process.returncode == 0:
            self.skipTest("done before it could be interrupted")
        self.assertEqual(process.returncode, 130, errors)
        return errors

    def test_says_what_is_kept(self):
        out, hessians, whole = self.path("s.gguf"), self.path("h.gguf"), self.path("w.gguf")
        there = lambda path: lambda process: os.path.exists(path)
        works = lambda process: len(os.listdir(f"/proc/{process.pid}/task")) > 1
        says = self.interrupted(["-o", out, "--ctx", "512", "--chunks", "16", "--threads", "2"], works)
        self.assertIn("nothing is kept yet", says)
        self.assertEqual(os.listdir(self.directory), [])

        cut = ["--ctx", "32"]
        says = self.interrupted(["-o", out, *cut], there(out + ".checkpoint"))
        self.assertIn(f"{out}.checkpoint keeps the sums", says)
        self.assertIn("--resume", says)
        self.write("s.gguf.checkpoint.new", b"what a kill leaves that comes while a checkpoint is written")
        d = self.document("calibrate", STORIES, "--text", TEXT, "-o", out, *cut, "--resume", "--threads", "1")
        self.assertGreater(d["resumed_chunks"], 0)
        self.assertEqual(os.listdir(self.directory), ["s.gguf"])
        self.succeed("calibrate", STORIES, "--text", TEXT, "-o", whole, *cut)
        self.assertEqual(read(out), read(whole))

        cut = ["--ctx", "256", "--hessians"]
        says = self.interrupted(["-o", out, *cut, hessians], there(hessians + ".partial"))
        self.assertIn(f"{hessians}.partial keeps the Hessians", says)
        self.assertIn("runs the text through the layers again", says)
        self.succeed("calibrate", STORIES, "--text", TEXT, "-o", out, *cut, hessians, "--resume")
        self.succeed("calibrate", STORIES, "--text", TEXT, "-o", whole, *cut, self.path("wh.gguf"))
        self.assertEqual(read(hessians), read(self.path("wh.gguf")))
        self.assertEqual(sorted(os.listdir(self.directory)), ["h.gguf", "s.gguf", "w.gguf", "wh.gguf"])

    def test_says_how_to_go_on_with_a_merge(self):
        stats, hessians, out = self.path("s.gguf"), self.path("h.gguf"), self.path("m.gguf")
        self.succeed("calibrate", STORIES, "--text", TEXT, "-o", stats, "--ctx", "64", "--chunks", "2", "--hessians",
                     hessians)
        merge = ["--merge", stats, "--hessians", out, "--merge-hessians", hessians, "-o", self.path("t.gguf")]
        works = lambda process: len(os.listdir(f"/proc/{process.pid}/task")) > 1
        says = self.interrupted(merge, works, text=())
        self.assertIn("with --resume adds up only those that are missing", says)
        self.succeed("calibrate", STORIES, *merge, "--resume")
        self.assertFalse(os.path.exists(out + ".partial"))


class QuantizeWithCalibration(Case):
    def setUp(self):
        super().setUp()
        self.stats = self.path("s.gguf")
        self.succeed("calibrate", STORIES, "--text", TEXT, "--ctx", "64", "--chunks", "4", "-o", self.stats)

    def quantize(self, name, *more):
        return self.document("quantize", STORIES, self.path(name), "--to", "Q4_0", "--allow-fallback", *more)

    def test_importance_changes_codes_and_is_recorded(self):
        self.quantize("plain.gguf")
        d = self.quantize("guided.gguf", "--calibration", self.stats)
        self.assertNotEqual(read(self.path("plain.gguf")), read(self.path("guided.gguf")))
        data = read(self.path("guided.gguf"))
        for key in (b"carat.importance.digest", b"quantize.imatrix.file", b"quantize.imatrix.chunks_count"):
            self.assertIn(key, data)
        self.assertEqual(d["calibration"]["chunks"], 4)
        self.quantize("guided2.gguf", "--calibration", self.stats, "--threads", "1")
        self.assertEqual(read(self.path("guided2.gguf")), data)
        self.assertIn("carat.importance.digest", json.dumps(self.document("inspect", self.path("guided.gguf"), "--metadata")))

    def test_statistics_in_the_older_form_serve_too(self):
        old = self.path("s.dat")
        self.succeed("calibrate", STORIES, "--merge", self.stats, "--format", "dat", "-o", old)
        self.quantize("new.gguf", "--calibration", self.stats)
        self.quantize("old.gguf", "--calibration", old)
        self.assertNotEqual(read(self.path("old.gguf")), b"")

    def test_what_has_no_statistics_is_named(self):
        few = self.write("few.dat", legacy([("blk.0.attn_q.weight", 3, [1.0] * 64)]))
        d = self.quantize("few.gguf", "--calibration", few)
        note = " ".join(d["notes"])
        self.assertIn("blk.0.attn_k.weight", note)
        self.assertNotIn("blk.0.attn_q.weight", note)

    def test_those_of_another_model_are_refused(self):
        out = self.path("out.gguf")
        for entry, says in ((("blk.9.attn_q.weight", 3, [1.0] * 64), "blk.9.attn_q.weight"),
                            (("blk.0.attn_q.weight", 3, [1.0] * 65), "another model")):
            wrong = self.write("wrong.dat", legacy([entry]))
            self.refuse(65, "quantize", STORIES, out, "--to", "Q4_0", "--allow-fallback", "--calibration", wrong,
                        says=says)
        bad = self.write("nan.dat", legacy([("blk.0.attn_q.weight", 3, [float("nan")] * 64)]))
        self.refuse(65, "quantize", STORIES, out, "--to", "Q4_0", "--calibration", bad, says="blk.0.attn_q.weight")
        self.refuse(64, "quantize", STORIES, out, "--to", "Q4_0", "--method", "nearest", "--calibration", self.stats,
                    says="does not look at importance")


if __name__ == "__main__":
    main()
