#!/usr/bin/env python3
"""convert and quantize as their users meet them: files, options, signals."""
import os
import re
import resource
import signal
import subprocess
import time

from cli_testing import CARAT, F32, STORIES, TEXT, carat, Case, gguf, main, read, weights


class Convert(Case):
    def test_models_in_several_files(self):
        out, whole, joined = self.path("parts.gguf"), self.path("whole.gguf"), self.path("joined.gguf")
        options = ["--to", "Q8_0", "--allow-fallback"]
        parts = self.document("quantize", STORIES, out, *options, "--split-size", "120kB")["files"]
        self.assertEqual(parts, [self.path(f"parts-0000{i}-of-0000{len(parts)}.gguf") for i in range(1, len(parts) + 1)])
        self.assertGreater(len(parts), 2)
        self.assertFalse(os.path.exists(out))
        self.assertLessEqual(max(map(os.path.getsize, parts)), 120000)
        # What is split is the same model, from any of its parts, and never its own output.
        self.succeed("quantize", STORIES, whole, *options)
        self.succeed("verify", parts[1])
        self.assertIn("joined.gguf: ", self.succeed("convert", parts[2], joined).stdout)
        says = [self.document("perplexity", m, "--text", TEXT, "--ctx", "64", "--chunks", "4")["perplexity"]
                for m in (whole, joined, parts[0])]
        self.assertEqual(len(set(says)), 1, says)
        self.refuse(64, "convert", parts[0], out, "--split-size", "120kB", says="file of the source")
        os.remove(parts[1])
        self.refuse(66, "inspect", parts[0], says="part 2 of ")

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
        self.refuse(64, "convert", STORIES, out, "--split-size", "big", says="--split-size")
        self.refuse(64, "convert", STORIES, out, "--split-size", "0", says="'0' is not a size")
        self.refuse(64, "convert", STORIES, out, "--rescale", "x", says="--rescale")
        self.refuse(64, "convert", STORIES, out, "--rescale", "1:-1", says="--rescale")
        self.refuse(64, "convert", STORIES, out, "--rescale", "", says="--rescale")
        self.refuse(64, "convert", STORIES, out, "--outliers", "1:x", says="--outliers")
        self.refuse(64, "convert", STORIES, out, "--outliers", "1:6:0", says="outside 1 to 10000")
        self.refuse(64, "convert", STORIES, out, "--outliers", "1:9999", says="9999 channels")
        self.refuse(64, "convert", STORIES, out, "--widen", "", says="--widen")
        self.refuse(64, "convert", STORIES, "", "--to", "f16", says="output")
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

    def test_calibration_text_guides_gptq(self):
        wide, plain, guided = self.path("wide.gguf"), self.path("plain.gguf"), self.path("guided.gguf")
        self.succeed("convert", STORIES, wide, "--rescale", "1", "--widen", "128:16:256", "--to", "f32")
        rule = ("--to", "Q4_0", "--tensor", "token_embd=Q8_0")
        self.succeed("quantize", wide, plain, *rule)
        options = ("--method", "gptq", "--text", TEXT, "--ctx", "128", "--chunks", "40")
        made = self.document("quantize", wide, guided, *rule, *options)
        tensors = {t["name"]: t for t in made["tensors"]}
        self.assertEqual(tensors["blk.0.ffn_down.weight"]["calibration_tokens"], 40 * 128)
        self.assertNotIn("calibration_tokens", tensors["token_embd.weight"])
        scored = lambda m: self.document("perplexity", m, "--text", TEXT, "--ctx", "128", "--chunks", "16",
                                         "--reference", wide, "--activations", "float32")["kl"]["mean"]
        self.assertLess(scored(guided), 0.9 * scored(plain))
        moved = self.path("moved.gguf")
        of_down = self.document("quantize", wide, moved, *rule, *options, "--propagate", "0.5", "--shrink", "0.3,down=0.2")
        self.assertEqual([next(t["shrink"] for t in of_down["tensors"] if t["name"] == f"blk.1.{name}.weight")
                          for name in ("ffn_down", "attn_q")], [0.2, 0.3])
        self.assertLess(scored(moved), scored(guided))
        for wrong, says in (("1.5", "from 0 to 1"), ("0.3,mouth=0.2", "attention_output"), ("down=", "share")):
            self.refuse(64, "quantize", wide, self.path("x.gguf"), *rule, *options, "--shrink", wrong, says=says)
        self.refuse(64, "quantize", wide, self.path("x.gguf"), *rule, "--propagate", "0.5", says="awq+gptq")
        hessians = self.path("hessians")
        self.succeed("calibrate", wide, "--text", TEXT, "--ctx", "128", "--chunks", "4", "-o", self.path("s.gguf"), "--hessians",
                     hessians)
        self.refuse(64, "quantize", wide, self.path("x.gguf"), *rule, "--method", "gptq", "--hessians", hessians, "--propagate",
                    "0.5", says="give --text")
        self.refuse(64, "quantize", wide, self.path("x.gguf"), *rule, "--method", "gptq", says="--text")
        self.refuse(64, "quantize", wide, self.path("x.gguf"), *rule, "--method", "nearest", "--text", TEXT,
                    says="nearest")
        self.refuse(65, "quantize", wide, self.path("x.gguf"), *rule, "--method", "gptq", "--text",
                    self.write("short.txt", b"Once upon a time"), says="short.txt")
        self.refuse(65, "quantize", wide, self.path("x.gguf"), *rule, "--method", "gptq", "--text",
                    self.write("latin1.txt", b"caf\xe9 " * 999), says="not UTF-8 at byte 3")

    def test_methods_are_chains_of_transforms_and_a_rounder(self):
        wide, stats = self.path("wide.gguf"), self.path("stats.gguf")
        self.succeed("convert", STORIES, wide, "--rescale", "1", "--widen", "128:16:256", "--to", "f32")
        text = ("--text", TEXT, "--ctx", "128", "--chunks", "10")
        self.succeed("calibrate", wide, *text, "-o", stats)
        rule = ("--to", "Q4_0", "--tensor", "token_embd=Q8_0")
        plain = self.path("plain.gguf")
        self.succeed("quantize", wide, plain, *rule)
        scored = lambda m: self.document("perplexity", m, "--text", TEXT, "--ctx", "128", "--chunks", "4",
                                         "--reference", wide, "--activations", "float32")["kl"]["mean"]
        for method in ("awq", "smoothquant+nearest", "permute+gptq", "awq+permute+gptq"):
            out = self.path(method + ".gguf")
            planned = self.document("quantize", wide, out, *rule, *text, "--method", method, "--dry-run")
            made = self.document("quantize", wide, out, *rule, *text, "--method", method)
            self.assertEqual(planned["output_bytes"], made["output_bytes"], method)
            self.assertEqual(made["output_bytes"], os.path.getsize(out), method)
            notes = {n["transform"] for n in made["transforms"]}
            self.assertEqual(notes, {"awq", "smoothquant"} & set(method.split("+")))
            facts = self.succeed("inspect", out, "--json").stdout
            for part in method.split("+"):
                if part in ("awq", "smoothquant", "permute"):
                    self.assertIn("carat.transform." + part, facts)
            self.assertLess(scored(out), 1.2 * scored(plain), method)  # the function is still the model's
        more = ("--tensor", "^output=Q8_0")  # which the rotated model has beside its embedding
        for method in ("rotate", "rotate+awq+gptq"):
            out = self.path(method + ".gguf")
            planned = self.document("quantize", wide, out, *rule, *more, *text, "--method", method, "--dry-run")
            made = self.document("quantize", wide, out, *rule, *more, *text, "--method", method)
            self.assertEqual(planned["output_bytes"], os.path.getsize(out), method)
            self.assertIn("output.weight", [t["name"] for t in made["tensors"]])
            self.assertLess(scored(out), 1.2 * scored(plain), method)
        self.refuse(64, "quantize", wide, self.path("x.gguf"), *rule, *text, "--method", "awq+rotate", says="before")
        self.refuse(64, "quantize", wide, self.path("x.gguf"), *rule, "--calibration", stats, "--method", "rotate",
                    says="--text")
        # Statistics serve as well as the text they are of, but for their sums being stored as floats.
        by_stats = self.path("stats-awq.gguf")
        self.succeed("quantize", wide, by_stats, *rule, "--calibration", stats, "--method", "awq")
        self.assertAlmostEqual(scored(by_stats) / scored(self.path("awq.gguf")), 1, delta=0.05)
        none = ("quantize", wide, self.path("x.gguf"), *rule)
        self.refuse(64, *none, "--method", "awq", says="--calibration")
        self.refuse(64, *none, "--method", "gptq+awq", *text, says="nothing can come after it")
        self.refuse(64, *none, "--method", "awq+awq", *text, says="twice")
        self.refuse(64, *none, "--method", "quip", *text, says="awq")

    def test_evaluating_on_calibration_text_is_noted(self):
        wide, model = self.path("wide.gguf"), self.path("m.gguf")
        self.succeed("convert", STORIES, wide, "--rescale", "1", "--widen", "128:16:256", "--to", "f32")
        stats, unseen = self.path("stats.gguf"), self.write("unseen.txt", b"A text that nobody has read before. " * 99)
        self.succeed("calibrate", wide, "--text", TEXT, "--ctx", "128", "--chunks", "40", "-o", stats)
        for of_text in (("--ctx", "64"), ("--chunks", "2"), ("--chat",), ("--activations", "float32")):  # and no text
            self.refuse(64, "quantize", STORIES, self.path("both.gguf"), "--to", "Q4_0", *of_text, says="--text")
        self.refuse(64, "quantize", STORIES, self.path("both.gguf"), "--to", "Q4_0", "--allow-fallback", "--method", "awq",
                    "--text", TEXT, "--calibration", stats, says="--method awq takes what it needs from --calibration")
        self.refuse(64, "quantize", STORIES, self.path("both.gguf"), "--to", "Q4_0", "--allow-fallback", "--method",
                    "rotate+awq+gptq", "--text", TEXT, "--calibration", stats, says="of the model before 'rotate'")
        for options in (("--text", TEXT, "--ctx", "128", "--chunks", "40"), ("--calibration", stats)):
            self.succeed("quantize", wide, model, "--to", "Q8_0", *options)
            told = self.succeed("perplexity", model, "--text", TEXT, "--ctx", "64", "--chunks", "2").stderr
            self.assertIn("% of this text was in the text it was calibrated with", told)
            told = self.succeed("perplexity", model, "--text", unseen, "--ctx", "64", "--chunks", "2").stderr
            self.assertNotIn("calibrated with", told)

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

    def test_a_limit_on_the_size_of_files(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        for verb, out, options in (("quantize", "o.gguf", ["--to", "F16"]), ("convert", "hf", ["--to", "f32"])):
            self.refuse(74, verb, STORIES, self.path(out), *options, says="File too large", preexec_fn=limit)

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

    def test_verify_says_what_cannot_be_run(self):
        model = self.write("part.gguf", gguf([("blk.0.ffn_up.weight", 64, 1, F32, weights(64).tobytes())]))
        told = self.succeed("verify", model).stdout
        self.assertIn("carat cannot run it", told)
        self.assertIn("runs        no: ", told)
        document = self.document("verify", model)
        self.assertEqual((document["ok"], document["runs"]), (True, False))
        self.assertTrue(document["cannot_run"])
        self.assertEqual(self.document("verify", STORIES)["cannot_run"], None)


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

    def start(self, out, *arguments, verb="quantize", to="Q4_K_S"):
        return subprocess.Popen([CARAT, verb, self.model, out, "--to", to, *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

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

    def test_a_conversion_says_how_to_go_on_too(self):
        out = self.path("converted.gguf")
        process = self.start(out, verb="convert", to="f16")
        self.wait_for_some_output(process, 0.5)
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 130, stderr)
        self.assertIn(f"--resume goes on from {out}.partial", stderr)
        again = self.refuse(64, "convert", self.model, out, "--to", "f16", says="--force")
        self.assertIn("--resume", again.stderr)
        self.succeed("convert", self.model, out, "--to", "f16", "--resume")

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
    main()
