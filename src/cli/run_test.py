#!/usr/bin/env python3
"""run and perplexity as their users meet them."""
import os

from cli_testing import STORIES, TEXT, Case, main


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

    def test_chat_text_that_is_not_utf8(self):
        model = self.path("hf")
        self.succeed("convert", STORIES, model, "--to", "bf16")
        with open(os.path.join(model, "chat_template.jinja"), "w") as f:
            f.write("{% for m in messages %}{{ m.content }} {% endfor %}")
        done = self.succeed("run", model, "--chat", "--system", b"gr\xff\xfen", "-n", "2", stdin="caf\udce9\n",
                            errors="surrogateescape")
        self.assertIn("note: the system prompt is not valid UTF-8: 2 of its 5 bytes", done.stderr)
        self.assertIn("note: the message is not valid UTF-8: 1 of its 4 bytes", done.stderr)
        done = self.succeed("run", model, "--chat", "--system", "gr\u00fcn", "-n", "2", stdin="caf\u00e9\n")
        self.assertNotIn("UTF-8", done.stderr)

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


if __name__ == "__main__":
    main()
