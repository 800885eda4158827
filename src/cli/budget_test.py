#!/usr/bin/env python3
"""quantize with a budget in place of a recipe, as users meet it."""
import os
import resource
import shutil
import signal
import subprocess
import time

from cli_testing import CARAT, STORIES, TEXT, Case, carat, main, read

CUT = ("--text", TEXT, "--ctx", "128", "--chunks", "40")


class Budget(Case):
    def setUp(self):
        super().setUp()
        self.model = self.path("model.gguf")
        self.succeed("convert", STORIES, self.model, "--rescale", "1", "--widen", "256:32:512", "--to", "bf16")

    def kl(self, path):
        return self.document("perplexity", path, "--text", TEXT, "--ctx", "128", "--chunks", "8",
                             "--reference", self.model)["kl"]["mean"]

    def test_size(self):
        out, plain = self.path("o.gguf"), self.path("plain.gguf")
        self.succeed("quantize", self.model, plain, "--to", "Q4_K_M", "--method", "nearest")
        size = os.path.getsize(plain)
        d = self.document("quantize", self.model, out, "--size", str(size), *CUT, "--method", "nearest")
        self.assertEqual(d["output_bytes"], os.path.getsize(out))
        self.assertLessEqual(d["output_bytes"], size)
        self.assertGreater(d["output_bytes"], size - 4096)
        budget = d["budget"]
        self.assertEqual(budget["rounds"][budget["kept_round"]]["bytes"], d["output_bytes"])
        self.assertEqual(budget["kl"], budget["rounds"][budget["kept_round"]]["kl"])
        self.assertEqual(budget["held_out_tokens"], 5 * 128)
        for r in budget["rounds"]:
            self.assertLess(abs(r["predicted_kl"] - r["kl"]["mean"]), 0.5 * r["kl"]["mean"])
        self.assertLess(self.kl(out), self.kl(plain))
        self.assertEqual(self.document("verify", out)["ok"], True)
        # The recipe stands on its own, and measuring is done once.
        again = self.path("again.gguf")
        self.succeed("quantize", self.model, again, "--to", out + ".recipe.toml", "--method", "nearest")
        self.assertEqual(read(again), read(out))
        self.assertRegex(read(out + ".recipe.toml").decode(), r"Predicted KL 0\.\d+ nats per token, measured 0\.\d+")
        d = self.document("quantize", self.model, "--dry-run", "--bpw", "6.5", *CUT, "--method", "nearest",
                          "--sensitivities", out + ".sensitivities", "--write-recipe", self.path("r.toml"))
        self.assertEqual((d["budget"]["measured_tensors"], d["dry_run"]), (0, True))
        self.assertLessEqual(d["bits_per_weight"], 6.5)
        self.assertGreater(d["bits_per_weight"], 6.4)
        self.assertIn("[[rule]]", read(self.path("r.toml")).decode())

    def test_max_kl_with_gptq(self):
        out = self.path("o.gguf")
        d = self.document("quantize", self.model, out, "--max-kl", "0.03", *CUT, "--method", "gptq", "--tensor",
                          "token_embd=Q8_0")
        self.assertLessEqual(d["budget"]["kl"]["mean"], 0.03)
        self.assertGreater(d["budget"]["kl"]["mean"], 0.02)
        tensors = {t["name"]: t for t in d["tensors"]}
        self.assertEqual(tensors["token_embd.weight"]["to"], "Q8_0")
        self.assertEqual(tensors["blk.0.ffn_down.weight"]["method"], "gptq")
        self.assertEqual(tensors["blk.0.ffn_down.weight"]["calibration_tokens"], 35 * 128)

    def test_with_statistics(self):
        stats, out = self.path("s.gguf"), self.path("o.gguf")
        self.succeed("calibrate", self.model, "--text", TEXT, "-o", stats, "--ctx", "128", "--chunks", "40")
        d = self.document("quantize", self.model, out, "--bpw", "4", *CUT, "--calibration", stats)
        self.assertLessEqual(d["bits_per_weight"], 4)
        self.refuse(64, "quantize", self.model, self.path("x.gguf"), "--bpw", "4", *CUT, "--sensitivities",
                    out + ".sensitivities", says="were measured")

    def test_rotated_models_have_tensors_that_a_budget_does_not_know(self):
        self.refuse(64, "quantize", STORIES, self.path("m.gguf"), "--size", "600kB", "--method", "rotate+gptq", "--text",
                    TEXT, "--ctx", "64", "--chunks", "20", says="rotate")

    def test_no_file_of_the_users_is_lost(self):
        text = ("--text", TEXT, "--ctx", "64", "--chunks", "20")
        for name in ("m.gguf.candidate1", "m.gguf.best", "m.gguf.recipe.toml", "m.gguf.sensitivities"):
            source = self.path(name)
            shutil.copy(STORIES, source)
            self.refuse(64, "quantize", source, self.path("m.gguf"), "--size", "600kB", *text, says="of the source")
            self.assertEqual(read(source), read(STORIES))
            os.remove(source)
        mine = self.write("m.gguf.best", b"mine")
        self.refuse(64, "quantize", STORIES, self.path("m.gguf"), "--size", "600kB", *text, says="m.gguf.best")
        self.assertEqual(read(mine), b"mine")
        os.remove(mine)
        mine = self.write("m.gguf.lock", b"mine")
        self.refuse(64, "quantize", STORIES, self.path("m.gguf"), "--size", "600kB", *text, says="m.gguf.lock")
        self.assertEqual(read(mine), b"mine")
        os.remove(mine)
        out = self.path("m.gguf")
        for recipe, says in ((STORIES, "of the source"), (out, "the output itself"),
                             (self.path("absent/r.toml"), "no directory"), (self.directory, "is a directory")):
            self.refuse(64, "quantize", STORIES, out, "--size", "600kB", *text, "--write-recipe", recipe, says=says)

    def test_mistakes(self):
        out = self.path("o.gguf")
        refuse = lambda code, *arguments, says: self.refuse(code, "quantize", self.model, out, *arguments, says=says)
        refuse(64, "--size", "1MB", says="--text")
        refuse(64, "--size", "300kB", *CUT, says="the smallest file that")
        refuse(64, "--size", "1GiB", *CUT, says="nothing to save")
        refuse(64, "--bpw", "17", *CUT, says="nothing to save")
        refuse(64, "--size", "2MB", "--to", "Q4_K_M", *CUT, says="leave out --to")
        refuse(64, "--size", "2MB", "--bpw", "4", *CUT, says="give one of them")
        refuse(64, "--max-kl", "0", *CUT, says="above 0")
        for size in ("", "x", "-1", "1e400", "4 cats", "nan"):
            refuse(64, "--size", size, *CUT, says="size")
        refuse(64, "--to", "Q8_0", "--write-recipe", self.path("r.toml"), says="belong to a budget")
        refuse(64, "--size", "2MB", "--text", TEXT, "--ctx", "128", "--chunks", "2", says="at least 3")
        coarse = (*CUT, "--sensitivities", self.path("kept"), "--tensor", "blk=Q3_K", "--method", "nearest")
        self.succeed("quantize", self.model, "--dry-run", "--max-kl", "1", *coarse)
        done = carat("quantize", self.model, out, "--max-kl", "1e-6", *coarse)
        self.assertEqual(done.returncode, 64)
        self.assertIn("a mean KL of 1e-06 cannot be reached", done.stderr)
        self.assertEqual(sorted(os.listdir(self.directory)), ["kept", "model.gguf"])
        other = self.write("other", b'{"tensor": 1}\n')
        refuse(65, "--size", "2MB", *CUT, "--sensitivities", other, says="not a file of sensitivities")

    def test_interrupted_and_gone_on_with(self):
        out = self.path("o.gguf")
        command = [CARAT, "quantize", self.model, out, "--size", "2MB", "--text", TEXT, "--ctx", "128", "--threads", "1"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        kept = out + ".sensitivities"
        while not (os.path.exists(kept) and os.path.getsize(kept) > 2000) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        if process.returncode == 0:
            self.skipTest("done before it could be interrupted")
        self.assertEqual(process.returncode, 130)
        self.assertIn("with --resume goes on from there", errors)
        self.assertEqual(sorted(os.listdir(self.directory)), ["model.gguf", "o.gguf.sensitivities"])
        d = self.document(*command[1:])
        self.assertGreater(d["budget"]["known_tensors"], 0)
        self.assertLessEqual(os.path.getsize(out), 2_000_000)

    def test_an_interrupted_dry_run_without_a_file_keeps_nothing(self):
        process = subprocess.Popen([CARAT, "quantize", self.model, "--dry-run", "--size", "2MB", "--text", TEXT, "--ctx",
                                    "128", "--threads", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(os.listdir(f"/proc/{process.pid}/task")) < 2 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn("nothing of what was measured is kept", errors)
        self.assertIn("--sensitivities FILE", errors)

    def test_interrupted_while_it_writes_a_file(self):
        out, whole = self.path("o.gguf"), self.path("whole.gguf")
        options = ("--size", "2MB", "--text", TEXT, "--ctx", "128", "--chunks", "16", "--method", "gptq")
        known = len(self.document("quantize", self.model, whole, *options)["tensors"])
        kept = ("--sensitivities", whole + ".sensitivities")
        for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
            process = subprocess.Popen([CARAT, "quantize", self.model, out, *options, *kept], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            partial = out + ".candidate1.partial"
            while not os.path.exists(partial) and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
            if process.returncode == 0:
                self.skipTest("done before it could be interrupted")
            self.assertEqual(process.returncode, code, errors)
            self.assertTrue(os.path.exists(partial))
            self.assertEqual(os.path.exists(out + ".lock"), number == signal.SIGKILL)
            if number == signal.SIGKILL:  # the next run takes it over, and away
                self.assertEqual(carat("quantize", self.model, out, *options, *kept).returncode, 64)
                self.assertFalse(os.path.exists(out + ".lock"))
            # As a kill between two files would leave them.
            for name in (".best", ".candidate1", ".candidate2"):
                self.write("o.gguf" + name, b"what was tried before")
            self.refuse(64, "quantize", self.model, out, *options, *kept, says="--resume")
            d = self.document("quantize", self.model, out, *options, *kept, "--resume")
            self.assertEqual(d["budget"]["measured_tensors"], 0)
            self.assertGreater(d["budget"]["known_tensors"], known // 2)
            self.assertEqual(read(out), read(whole))
            self.assertEqual(read(out + ".recipe.toml"), read(whole + ".recipe.toml"))
            os.remove(out)
            self.assertEqual([n for n in os.listdir(self.directory) if "candidate" in n or "best" in n], [])

    def test_a_second_process_leaves_the_files_of_the_first_alone(self):
        out, whole = self.path("o.gguf"), self.path("whole.gguf")
        options = ("--size", "2MB", "--text", TEXT, "--ctx", "128", "--chunks", "16", "--method", "gptq")
        self.succeed("quantize", self.model, whole, *options)
        options += ("--sensitivities", whole + ".sensitivities")
        process = subprocess.Popen([CARAT, "quantize", self.model, out, *options], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        while not os.path.exists(out + ".candidate1.partial") and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGSTOP)
        try:
            self.assertIsNone(process.poll(), "done before it could be stopped")
            for leave in ("--resume", "--force"):
                self.refuse(64, "quantize", self.model, out, *options, leave, says="another process is making")
        finally:
            process.send_signal(signal.SIGCONT)
            _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, errors)
        self.assertEqual(read(out), read(whole))

    def test_a_full_disk(self):
        out = self.path("o.gguf")
        arguments = ("quantize", self.model, out, "--size", "2MB", "--text", TEXT, "--ctx", "128", "--chunks", "16",
                     "--method", "nearest")
        done = carat(*arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)))
        self.assertEqual(done.returncode, 74, done.stderr)
        self.assertIn(f"measured of single tensors is in {out}.sensitivities", done.stderr)
        self.assertEqual(done.stderr.count("--resume"), 1, done.stderr)
        d = self.document(*arguments, "--resume")
        self.assertEqual(d["budget"]["measured_tensors"], 0)
        self.assertEqual(sorted(os.listdir(self.directory)),
                         ["model.gguf", "o.gguf", "o.gguf.recipe.toml", "o.gguf.sensitivities"])

    def test_another_budget_does_not_take_over_the_file_of_the_first(self):
        out, whole = self.path("o.gguf"), self.path("whole.gguf")
        options = ("--text", TEXT, "--ctx", "128", "--chunks", "16", "--method", "gptq")
        self.succeed("quantize", self.model, whole, "--size", "2MB", *options)
        kept = ("--sensitivities", whole + ".sensitivities")
        process = subprocess.Popen([CARAT, "quantize", self.model, out, "--size", "1.8MB", *options, *kept],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        journal = out + ".candidate1.journal"
        while not (os.path.exists(journal) and os.path.getsize(journal)) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn(b"carat journal", read(journal))
        self.succeed("quantize", self.model, out, "--size", "2MB", *options, *kept, "--resume")
        self.assertEqual(read(out), read(whole))


if __name__ == "__main__":
    main()
