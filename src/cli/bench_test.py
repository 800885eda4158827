#!/usr/bin/env python3
"""bench as its users meet it; no test looks at a clock."""
import os

from cli_testing import STORIES, Case, main

QUICK = ["--prefill", "8", "--decode", "4", "--repetitions", "1"]


class Bench(Case):
    def test_table(self):
        done = self.succeed("bench", STORIES, *QUICK, "--threads", "1,2", "--batch", "1,3", "--depth", "0,5")
        for test in ("prefill 8", "decode 4", "decode 4 x3", "prefill 8 at 5", "decode 4 x3 at 5"):
            for threads in (1, 2):
                self.assertRegex(done.stdout, rf"(?m)^{test} +{threads} +[\d.]+ +\d+ % ")
        self.assertIn("ready to take tokens after", done.stdout)
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 80)

    def test_document(self):
        d = self.document("bench", STORIES, *QUICK, "--threads", "2", "--quantize", "Q8_0,Q4_0", "--method", "nearest",
                          "--sustain", "1", "--profile")
        for key in ("prefill_tokens_per_second", "decode_tokens_per_second", "memory_bandwidth_fraction",
                    "compute_fraction", "ready_seconds", "first_token_seconds"):
            self.assertGreater(d[key], 0, key)
        self.assertEqual([r["test"] for r in d["results"]], ["prefill", "decode"])
        self.assertEqual(d["limits"][0]["threads"], 2)
        self.assertEqual(len(d["sustained"]["tokens_per_second"]), 10)
        self.assertEqual([q["recipe"] for q in d["quantize"]], ["Q8_0", "Q4_0"])
        operations = [o["operation"] for o in d["profiles"][1]["operations"]]
        self.assertIn("attention", operations)
        self.assertIn("down", operations)

    def test_keys_and_values_count_as_they_are_kept(self):
        read = {}
        for kv in ("f16", "q8_0"):
            d = self.document("bench", STORIES, *QUICK, "--depth", "50", "--kv", kv)
            self.assertEqual(d["kv"], kv.upper())
            read[kv] = d["results"][1]["bytes_per_token"]
        self.assertLess(read["q8_0"], read["f16"])

    def test_against_another_model(self):
        done = self.succeed("bench", STORIES, *QUICK, "--twin")
        self.assertIn("against a made-up F16 model of the same shape", done.stdout)
        self.assertIn("times as fast", done.stdout)
        d = self.document("bench", STORIES, *QUICK, "--reference", STORIES)
        self.assertEqual(len(d["reference"]["results"]), 2)

    def test_only_quantizing(self):
        done = self.succeed("bench", STORIES, "--prefill", "0", "--decode", "0", "--quantize", "Q8_0")
        self.assertIn("Mweight/s", done.stdout)
        self.assertNotIn("tokens/s", done.stdout)

    def test_mistakes(self):
        self.refuse(64, "bench", STORIES, "--prefill", "0", "--decode", "0", says="nothing is left to measure")
        for option in (("--sustain", "1"), ("--profile",), ("--twin",), ("--reference", STORIES)):
            self.refuse(64, "bench", STORIES, "--prefill", "0", "--decode", "0", "--quantize", "Q8_0", *option,
                        says=f"{option[0]} goes with a test of the model")
        self.refuse(64, "bench", STORIES, "--decode", "1", "--depth", str(1 << 24), "--batch", "512", "-q",
                    says="keys and values of all tests take")
        self.refuse(64, "bench", STORIES, "--threads", "1,x", says="'x' is not a whole number")
        self.refuse(64, "bench", STORIES, "--threads", "1,0", says="0 is outside 1 to 1024")
        self.refuse(64, "bench", STORIES, "--batch", "", says="'' is not a whole number")
        self.refuse(64, "bench", STORIES, "--quantize", "Q9", says="Q9")
        self.refuse(64, "bench", STORIES, "--method", "guess", says="unknown method 'guess'; there are search, nearest")
        self.refuse(64, "bench", STORIES, "--method", "nearest", says="--method goes with --quantize")
        self.refuse(64, "bench", STORIES, "--twin", "--reference", STORIES, says="give one")
        self.refuse(66, "bench", self.path("absent.gguf"))

    def test_an_instruction_set_the_processor_lacks(self):
        for verb in (("bench", STORIES), ("run", STORIES, "-p", "x")):
            self.refuse(64, *verb, env=dict(os.environ, CARAT_ISA="avx9000"),
                        says="CARAT_ISA=avx9000 is not available on this processor; it has")

    def test_more_threads_than_processors(self):
        many = str(len(os.sched_getaffinity(0)) + 1)
        for verb in (("bench", STORIES, *QUICK), ("run", STORIES, "-p", "x", "-n", "1")):
            self.assertRegex(self.succeed(*verb, "--threads", many).stderr, rf"note: {many} threads share the \d+ proc")
            self.assertNotIn("threads share", self.succeed(*verb, "--threads", "1").stderr)


if __name__ == "__main__":
    main()
