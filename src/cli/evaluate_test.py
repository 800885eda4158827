#!/usr/bin/env python3
"""evaluate as its users meet it: models of ours, kills, full disks, stores of all kinds."""
import json
import os
import resource
import signal
import sqlite3
import subprocess
import time

from cli_testing import CARAT, STORIES, carat, main
from suite_testing import Suites, WORDS


class LocalModel(Suites):
    def test_a_card_and_its_way_back(self):
        suite = self.suite(generated=3)
        exported = self.path("card.json")
        card = self.evaluate(STORIES, "--suite", suite, "--name", "tiny", "--export", exported)
        self.assertTrue(card["complete"])
        self.assertEqual(card["variant"]["name"], "tiny")
        self.assertEqual(len(card["variant"]["model_digest"]), 64)
        self.assertEqual(card["variant"]["settings"]["decoding"], "unconstrained")
        self.assertEqual(self.score(card, "words", "acc")["items"], 12)
        self.assertEqual(self.score(card, "words", "acc", "kind=0")["items"], 6)
        self.assertEqual(self.score(card, "words", "chance")["mean"], 0.25)
        self.assertGreater(card["performance"]["first_token_seconds"]["p50"], 0)
        plan, peak = card["performance"]["planned_memory"], card["performance"]["peak_memory_bytes"]
        self.assertEqual(plan["total_bytes"], sum(plan[k] for k in ("weights_bytes", "keys_and_values_bytes",
                                                                    "work_space_bytes")))
        self.assertGreater(peak, plan["weights_bytes"])
        for key in ("carat_version", "threads", "hardware", "date", "kernels", "file"):
            self.assertIn(key, card["provenance"])
        with open(exported) as f:
            whole = json.load(f)
        self.assertEqual(len(whole["records"]), 15)
        self.assertEqual(whole["scores"], card["scores"])
        self.assertEqual(self.evaluate("--show", "1")["scores"], card["scores"])
        self.assertEqual(self.evaluate("--list")["runs"][0]["variant"], "tiny")
        text = carat("evaluate", "--show", "tiny", "--store", self.store).stdout
        self.assertIn("kind=1", text)
        self.assertIn("memory predicted", text)
        self.assertIn("tiny", carat("evaluate", "--list", "--store", self.store).stdout)

    def test_a_card_made_elsewhere_becomes_a_run(self):
        exported = self.path("card.json")
        card = self.evaluate(STORIES, "--suite", self.suite(), "--name", "tiny", "--export", exported)
        os.remove(self.store)
        taken = self.evaluate("--import", exported)
        self.assertEqual((taken["variant"], taken["scores"]), (card["variant"], card["scores"]))
        self.assertEqual(len(self.records()), 12)
        again = self.evaluate("--import", exported, says="is in the store already, as run 1")
        self.assertEqual((again["run"], len(self.records())), (1, 12))
        store = ["--store", self.store]
        done = carat("compare", "tiny", exported, *store)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.write("broken.json", b"{}")
        self.refuse(65, "evaluate", "--import", self.path("broken.json"), *store, says="schema_version")
        self.refuse(66, "evaluate", "--import", self.path("none.json"), "--store", self.path("new.sqlite"))
        self.refuse(64, "evaluate", "--import", exported, "--list", *store)

    def test_unfinished_runs_are_named(self):
        suite, store = self.suite(), ["--store", self.store]
        self.evaluate(STORIES, "--suite", suite, "--name", "tiny", "--limit", "5")
        self.refuse(66, "compare", "tiny", "1", *store, says='run 1 on suite "suite" is unfinished, with 5 answers')
        self.evaluate(STORIES, "--suite", suite, "--name", "tiny")
        self.evaluate(STORIES, "--suite", suite, "--name", "tiny", "--again", "--limit", "3")
        note = "run 2 was begun later and is unfinished, with 3 answers"
        self.assertIn(note, carat("compare", "1", "tiny", *store).stderr)
        self.assertNotIn("begun later", carat("compare", "2", "2", *store).stderr)
        page = self.path("report.html")
        self.assertEqual(carat("report", "tiny", "2", "-o", page, *store).returncode, 0)
        with open(page, encoding="utf-8") as f:
            self.assertIn(note, f.read())

    def test_repeats_are_drawn_with_seeds_of_their_own(self):
        suite = self.suite(choices=2, generated=2)
        one = self.evaluate(STORIES, "--suite", suite)
        card = self.evaluate(STORIES, "--suite", suite, "--repeats", "3")
        self.assertEqual((card["complete"], card["variant"]["settings"]["repeats"]), (True, 3))
        self.assertNotEqual(card["run"], one["run"])
        self.assertEqual(len([r for r in self.records() if r[0] == card["run"]]), 2 + 2 * 3)
        with sqlite3.connect(self.store) as db:
            answers = db.execute("SELECT run, item, repeat, answer FROM records WHERE task = 'tales'").fetchall()
        first = {a[1]: a[3] for a in answers if a[0] == one["run"]}
        self.assertEqual(first, {a[1]: a[3] for a in answers if a[0] == card["run"] and a[2] == 0})
        self.assertEqual(len({a[3] for a in answers if a[0] == card["run"]}), 6)
        again = self.evaluate(STORIES, "--suite", suite, "--repeats", "3", "--again", "--threads", "1", "--at-once", "1")
        self.assertEqual(again["scores"], card["scores"])
        self.refuse(64, "evaluate", STORIES, "--suite", self.suite(name="greedy"), "--repeats", "3", "--store", self.store,
                    says="no task with sampled answers")

    def test_what_each_tensor_lost_is_in_the_card_and_drawn(self):
        small = self.path("small.gguf")
        done = carat("quantize", STORIES, small, "--to", "Q4_0", "--allow-fallback")
        self.assertEqual(done.returncode, 0, done.stderr)
        suite = self.suite()
        self.assertNotIn("tensors", self.evaluate(STORIES, "--suite", suite, "--name", "whole")["provenance"])
        tensors = self.evaluate(small, "--suite", suite)["provenance"]["tensors"]
        self.assertEqual(len(tensors), 47)
        by_name = {t["name"]: t for t in tensors}
        self.assertEqual(by_name["blk.0.attn_norm.weight"]["relative_error"], 0)
        self.assertTrue(0.0001 < by_name["blk.0.attn_q.weight"]["relative_error"] < 0.1)
        self.assertEqual(by_name["blk.0.attn_q.weight"]["encoding"], "Q4_0")
        page = self.path("report.html")
        done = carat("report", "whole", "small", "--store", self.store, "-o", page)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(page, encoding="utf-8") as f:
            text = f.read()
        self.assertIn("Error of the weights, by layer", text)
        self.assertIn("Relative error of the weights by layer</title>", text)

    def test_the_same_answers_whatever_threads_and_batches(self):
        suite = self.suite(generated=4)
        cards = []
        for threads, at_once, name in (("1", "1", "a"), ("3", "16", "b")):
            cards.append(self.evaluate(STORIES, "--suite", suite, "--threads", threads, "--at-once", at_once, "--name",
                                       name))
        self.assertEqual(cards[0]["scores"], cards[1]["scores"])

    def test_a_complete_exam_is_not_sat_again(self):
        suite = self.suite()
        first = self.evaluate(STORIES, "--suite", suite)
        again = self.evaluate(STORIES, "--suite", suite, says="--again sits it anew")
        self.assertEqual((again["run"], again["scores"]), (first["run"], first["scores"]))
        anew = self.evaluate(STORIES, "--suite", suite, "--again")
        self.assertNotEqual(anew["run"], first["run"])
        other = self.evaluate(STORIES, "--suite", suite, "--kv", "q8_0")
        self.assertNotIn(other["run"], (first["run"], anew["run"]))

    def test_limit_then_the_rest(self):
        suite = self.suite()
        part = self.evaluate(STORIES, "--suite", suite, "--limit", "5")
        self.assertFalse(part["complete"])
        self.assertEqual(len(self.records()), 5)
        whole = self.evaluate(STORIES, "--suite", suite, says="5 answers were there already")
        self.assertTrue(whole["complete"])
        self.assertEqual(whole["run"], part["run"])
        self.assertEqual(len(self.records()), 12)

    def test_an_item_longer_than_the_context_is_unscored(self):
        suite = self.suite()
        with open(os.path.join(suite, "words.jsonl"), "a") as f:
            f.write(json.dumps({"id": "long", "context": "Once upon a time " * 30, "choices": WORDS[:4], "gold": 0}) + "\n")
        card = self.evaluate(STORIES, "--suite", suite, "--ctx", "64")
        whole = self.score(card, "words", "acc")
        self.assertEqual((whole["unscored"], whole["items"], card["complete"]), (1, 13, True))
        self.assertEqual([(r[2], r[5][:26]) for r in self.records() if r[4] == 1], [("long", "longer than the context: 1")])

    def test_chat_without_a_template_is_unscored(self):
        self.evaluate(STORIES, "--suite", self.suite(choices=0, chats=2))
        self.assertEqual({r[5] for r in self.records()}, {"the model has no chat template"})

    def test_texts_and_their_distance_from_a_reference(self):
        suite = self.suite(choices=0)
        with open(os.path.join(suite, "suite.toml"), "a") as f:
            f.write('[[task]]\nname = "text"\nkind = "perplexity"\nitems = "text.jsonl"\n')
        with open(os.path.join(suite, "text.jsonl"), "w") as f:
            for i in range(4):
                f.write(json.dumps({"text": f"Once upon a time, {WORDS[i]} and {WORDS[i + 1]} went out to play."}) + "\n")
        small = self.path("q8.gguf")
        self.succeed("quantize", STORIES, small, "--to", "Q8_0", "--allow-fallback")
        itself = self.evaluate(STORIES, "--suite", suite, "--reference", STORIES)
        self.assertEqual(self.score(itself, "text", "kl")["mean"], 0)
        self.assertEqual(self.score(itself, "text", "same_top")["mean"], 1)
        away = self.evaluate(small, "--suite", suite, "--reference", STORIES)
        self.assertGreater(self.score(away, "text", "kl")["mean"], 0)
        alone = self.evaluate(small, "--suite", suite)
        self.assertEqual(self.score(alone, "text", "nll"), self.score(away, "text", "nll"))
        self.assertNotIn("kl", {s["metric"] for s in alone["scores"]})

    def test_noise_floor(self):
        card = self.evaluate(STORIES, "--suite", self.suite(generated=6), "--noise-floor", "2")
        floor = {(f["task"], f["metric"]): f["largest_difference"] for f in card["noise_floor"] if not f["slice"]}
        self.assertEqual(floor["words", "acc"], 0)  # nothing is drawn, so nothing moves
        self.assertEqual(floor["words", "gold_nll"], 0)
        self.assertEqual(floor["tales", "gold_nll"], 0)
        with sqlite3.connect(self.store) as db:
            answers = db.execute("SELECT answer FROM records WHERE task = 'tales' ORDER BY item, run").fetchall()
        self.assertGreater(len(set(answers)), 6)  # other seeds, other tales
        self.assertEqual([r["complete"] for r in self.evaluate("--list")["runs"]], [True] * 3)

    def test_what_is_asked_wrongly(self):
        suite = self.suite()
        self.refuse(64, "evaluate", says="MODEL")
        self.refuse(64, "evaluate", STORIES, says="--suite")
        self.refuse(64, "evaluate", STORIES, "--endpoint", "http://127.0.0.1:1", "--suite", suite)
        self.refuse(66, "evaluate", STORIES, "--suite", self.path("nowhere"), "--store", self.store)
        self.refuse(66, "evaluate", "--list", "--store", self.path("none.sqlite"), says="no store")
        self.refuse(64, "evaluate", STORIES, "--suite", suite, "--store", self.store, "--task", "sums", says="it has words")
        self.evaluate("--suite", suite, "--task", "words", STORIES, "--limit", "1")


class Interruptions(Suites):
    def start(self, suite, *more):
        return subprocess.Popen([CARAT, "evaluate", STORIES, "--suite", suite, "--store", self.store, *more],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_for_records(self, process, count):
        while process.poll() is None:
            try:
                if len(self.records()) >= count:
                    return
            except sqlite3.Error:
                pass
            time.sleep(0.005)

    def test_kill_at_any_moment_then_go_on(self):
        suite = self.suite(choices=4000)
        reference = self.evaluate(STORIES, "--suite", suite, "--name", "whole")
        for count in (0, 1, 700, 2000):
            process = self.start(suite, "--name", "killed")
            self.wait_for_records(process, 4000 + count)
            process.kill()
            process.communicate(timeout=60)
        card = self.evaluate(STORIES, "--suite", suite, "--name", "killed")
        self.assertTrue(card["complete"])
        self.assertEqual(card["scores"], reference["scores"])
        keys = [r[:4] for r in self.records() if r[0] == card["run"]]
        self.assertEqual((len(keys), len(set(keys))), (4000, 4000))

    def test_interrupt_says_how_to_go_on(self):
        process = self.start(self.suite(choices=20000))
        self.wait_for_records(process, 1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, stderr)
        self.assertEqual(stdout, "")
        self.assertIn("the same command goes on", stderr)
        self.assertGreater(len(self.records()), 0)

    def test_two_at_once(self):
        suite = self.suite(choices=20000)
        first = self.start(suite)
        self.wait_for_records(first, 1)
        same = carat("evaluate", STORIES, "--suite", suite, "--store", self.store)
        self.assertEqual(same.returncode, 64, same.stderr)
        self.assertIn("another process is working on run 1", same.stderr)
        other = carat("evaluate", STORIES, "--suite", suite, "--store", self.store, "--name", "other", "--limit", "40")
        self.assertEqual(other.returncode, 0, other.stderr)
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=60)

    def test_a_full_disk_is_a_sentence(self):
        suite = self.suite(choices=4000)
        self.evaluate(STORIES, "--suite", suite, "--limit", "10")
        limit = os.path.getsize(self.store) + 200_000
        done = carat("evaluate", STORIES, "--suite", suite, "--store", self.store,
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        self.assertEqual(done.returncode, 74, done.stderr)
        self.assertIn(self.store, done.stderr)
        kept = len(self.records())
        self.assertGreaterEqual(kept, 10)
        card = self.evaluate(STORIES, "--suite", suite)
        self.assertTrue(card["complete"])

    def test_stores_that_are_none(self):
        suite = self.suite()
        with open(self.store, "w") as f:
            f.write("not a database, but long enough to be mistaken for one" * 100)
        self.evaluate(STORIES, "--suite", suite, code=65)
        os.remove(self.store)
        self.evaluate(STORIES, "--suite", suite)
        with sqlite3.connect(self.store) as db:
            db.execute("PRAGMA user_version = 4711")
        self.evaluate(STORIES, "--suite", suite, code=65, says="4711")


if __name__ == "__main__":
    main()
