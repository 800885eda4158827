#!/usr/bin/env python3
"""evaluate as its users meet it: a model of ours, endpoints good and bad, kills, full disks, stores of all kinds."""
import http.server
import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import threading
import time

from cli_testing import CARAT, STORIES, Case, carat, main

WORDS = ["Lily", "the dog", "a tree", "her mom", "the ball", "one day"]


class Suites(Case):
    """A store and a suite in a folder that goes away."""

    def setUp(self):
        super().setUp()
        self.store = self.path("scores.sqlite")

    def suite(self, choices=12, chats=0, name="suite", generated=0):
        directory = self.path(name)
        os.makedirs(directory, exist_ok=True)
        text = f'[suite]\nname = "{name}"\nversion = "1"\n'
        if choices:
            text += '[[task]]\nname = "words"\ndimension = "stories"\nkind = "choice"\nitems = "words.jsonl"\n'
            with open(os.path.join(directory, "words.jsonl"), "w") as f:
                for i in range(choices):
                    f.write(json.dumps({"id": f"w{i}", "context": f"Once upon a time, {WORDS[i % 6]} number {i} saw",
                                        "choices": WORDS[:4], "gold": i % 4, "slice": f"kind={i % 2}"}) + "\n")
        if generated:
            text += ('[[task]]\nname = "tales"\nkind = "generate"\ncheck = "exact"\nitems = "tales.jsonl"\n'
                     'generation = {chat = false, max_tokens = 12, temperature = 0.8}\n')
            with open(os.path.join(directory, "tales.jsonl"), "w") as f:
                for i in range(generated):
                    f.write(json.dumps({"prompt": f"Once upon {WORDS[i % 6]}", "answer": "was"}) + "\n")
        if chats:
            text += '[[task]]\nname = "chat"\nkind = "generate"\ncheck = "exact"\nitems = "chat.jsonl"\n'
            with open(os.path.join(directory, "chat.jsonl"), "w") as f:
                for i in range(chats):
                    f.write(json.dumps({"prompt": f"Say {i}", "answer": str(i)}) + "\n")
        with open(os.path.join(directory, "suite.toml"), "w") as f:
            f.write(text)
        return directory

    def evaluate(self, *arguments, code=0, says=None, **more):
        done = carat("evaluate", *arguments, "--store", self.store, "--json", **more)
        self.assertEqual(done.returncode, code, done.stderr)
        if says:
            self.assertIn(says, done.stderr)
        return json.loads(done.stdout)

    def records(self):
        with sqlite3.connect(self.store) as db:
            return db.execute("SELECT run, task, item, repeat, outcome, reason FROM records").fetchall()

    @staticmethod
    def score(card, task, metric, slice_name=""):
        return next(s for s in card["scores"]
                    if (s["task"], s["metric"], s["slice"]) == (task, metric, slice_name))


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


class Handler(http.server.BaseHTTPRequestHandler):
    """Speaks OpenAI's protocol, well or badly as `mode` says. A text's tokens are its words."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.server.mode == "key" and self.headers.get("Authorization") != "Bearer secret-17":
            return self.answer({"error": {"message": "wrong key"}}, 401)
        self.answer({"object": "list", "data": [{"id": m, "created": int(time.time())} for m in self.server.models]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, body))
        mode = self.server.mode
        if mode == "sometimes":
            self.server.count += 1
            if self.server.count % 2:
                return self.answer({"error": {"message": "busy"}}, self.server.statuses[self.server.count % 3])
        if mode in ("hang", "drip", "flood", "short"):
            return self.misbehave(mode)
        if mode == "garbage":
            return self.raw(b"\xff\xfe{{{{" + b"\x00" * 50)
        if mode == "html":
            return self.raw(b"<html><body>502 Bad Gateway</body></html>")
        if mode == "empty":
            return self.answer({})
        if mode == "broken":
            return self.answer({"error": {"message": "out of memory"}}, 500)
        if body.get("stream") and self.server.streaming == "refused":
            return self.answer({"error": {"message": "stream is not supported"}}, 400)
        if body.get("stream") and self.server.streaming != "ignored":
            return self.stream(body, self.server.streaming)
        if self.path == "/v1/chat/completions":
            said = body["messages"][-1]["content"]
            text = "<think>easy</think>" + said.split()[-1]
            if "You rate the assistant's answers" in said:
                text = "Short, and right.\nRating: 7"
            return self.answer({"choices": [{"message": {"role": "assistant", "content": text},
                                             "finish_reason": "stop"}],
                                "usage": {"prompt_tokens": 5, "completion_tokens": 3}})
        self.answer(self.completion(body, mode))

    def completion(self, body, mode):
        prompt = body["prompt"]
        tokens, offsets, at = [], [], 0
        for i, word in enumerate(prompt.split(" ")):
            tokens.append(word if i == 0 else " " + word)
            offsets.append(at)
            at += len(tokens[-1])
        logprobs = [None] + [-float(len(t)) for t in tokens[1:]]
        if mode == "constant":
            logprobs = [None] + [-1.0] * (len(tokens) - 1)
        if mode == "random":
            logprobs = [None] + [-float(hash((prompt, t)) % 97) for t in tokens[1:]]
        top = [None] + [{t: v} for t, v in zip(tokens[1:], logprobs[1:])]
        if not body.get("echo") or mode == "generated only":
            tokens, offsets, logprobs, top = [" x"], [len(prompt)], [-0.5], [{" x": -0.5}]
        return {"choices": [{"text": prompt, "finish_reason": "length",
                             "logprobs": {"tokens": tokens, "text_offset": offsets, "token_logprobs": logprobs,
                                          "top_logprobs": top}}]}

    def answer(self, document, status=200):
        self.raw(json.dumps(document).encode(), status)

    def raw(self, content, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream(self, body, how):
        """The last word of what was said in two pieces, 0.1 seconds apart; or something else."""
        self.close_connection = True
        said = body["messages"][-1]["content"].split()[-1]
        send = lambda document: self.wfile.write(b"data: " + json.dumps(document).encode() + b"\n\n")
        piece = lambda text, reason=None: send({"choices": [{"delta": {"content": text}, "finish_reason": reason}]})
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.end_headers()
            if how == "garbage":
                return self.wfile.write(b"data: \xff\xfe{{{{\n\n")
            piece("")
            piece("<think>x</think>")
            if how == "half":
                return self.wfile.write(b'data: {"choices": [{"del')
            if how == "silent":
                return self.server.stop.wait(30)
            while how == "endless" and not self.server.stop.is_set():
                piece("and so on " * 1000)
            while how == "endless line":
                self.wfile.write(b"x" * (1 << 20))
            time.sleep(0.1)
            if how == "error":
                return send({"error": {"message": "out of memory"}})
            piece(said, "stop")
            send({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}})
            self.wfile.write(b"data: [DONE]\n\n")
            if how == "never closed":
                self.server.stop.wait(30)
        except OSError:
            pass

    def misbehave(self, mode):
        self.close_connection = True
        try:
            if mode == "hang":
                self.server.stop.wait(30)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(1 << 40 if mode == "flood" else 10_000))
            self.end_headers()
            if mode == "short":
                self.wfile.write(b'{"choices": [')
            piece = b"x" * (1 << 20) if mode == "flood" else b" "
            while mode != "short" and not self.server.stop.wait(0 if mode == "flood" else 0.05):
                self.wfile.write(piece)
        except OSError:
            pass


class Endpoints(Suites):
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.mode, self.server.models, self.server.requests = "good", ["tiny"], []
        self.server.streaming = "ignored"
        self.server.stop, self.server.count, self.server.statuses = threading.Event(), 0, [429, 503, 500]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(self.server.stop.set)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def ask(self, suite, *more, code=0, says=None, env=None):
        environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and k != "CARAT_API_KEY"}
        return self.evaluate("--endpoint", self.url, "--suite", suite, *more, code=code, says=says,
                             env={**environment, **(env or {})})

    def test_a_good_one(self):
        card = self.ask(self.suite(chats=3))
        self.assertTrue(card["complete"])
        self.assertEqual(card["variant"]["settings"]["endpoint_model"], "tiny")
        # The shortest of the choices is the likeliest to this server: "Lily".
        self.assertEqual(self.score(card, "words", "acc")["mean"], 0.25)
        self.assertEqual(self.score(card, "chat", "exact")["mean"], 1)
        self.assertEqual(self.score(card, "chat", "reasoning_bytes")["mean"], 4)
        self.assertGreater(card["performance"]["answer_seconds"]["p50"], 0)
        self.assertNotIn("first_token_seconds", card["performance"])
        self.assertNotIn("planned_memory", card["performance"])
        chat = next(b for p, b in self.server.requests if p == "/v1/chat/completions")
        self.assertEqual((chat["model"], chat["temperature"]), ("tiny", 0))

    def test_a_stream_tells_when_its_first_token_came(self):
        suite = self.suite(choices=0, chats=3)
        for how in ("good", "never closed"):
            self.server.streaming = how
            card = self.ask(suite, "--name", how)
            self.assertEqual(self.score(card, "chat", "exact")["mean"], 1)
            self.assertEqual(self.score(card, "chat", "tokens")["mean"], 3)
            first, whole = (card["performance"][k]["p50"] for k in ("first_token_seconds", "answer_seconds"))
            self.assertLess(0, first)
            self.assertLess(first + 0.09, whole)
            self.assertAlmostEqual(card["performance"]["seconds_per_token"]["p50"], (whole - first) / 2, delta=0.05)

    def test_an_endpoint_that_refuses_to_stream_is_asked_without(self):
        self.server.streaming = "refused"
        card = self.ask(self.suite(choices=0, chats=6), "--at-once", "1")
        self.assertEqual(self.score(card, "chat", "exact")["mean"], 1)
        self.assertNotIn("first_token_seconds", card["performance"])
        self.assertEqual([bool(b.get("stream")) for _, b in self.server.requests], [True] + [False] * 6)

    def test_streams_that_are_none_are_failures_of_the_machinery(self):
        suite = self.suite(choices=0, chats=2)
        for how, words in (("garbage", "no JSON object"), ("half", "no JSON object"), ("error", "out of memory"),
                           ("endless", "more than 16 MB"), ("endless line", "more than 16 MB"),
                           ("silent", "no complete answer within 1 seconds")):
            with self.subTest(how):
                self.server.streaming = how
                self.ask(suite, "--attempts", "1", "--timeout", "1" if how == "silent" else "60", code=74,
                         says="2 answers failed")
                for record in self.records():
                    self.assertIn(words, record[5])
        self.server.streaming = "good"
        self.assertTrue(self.ask(suite)["complete"])

    def test_a_judge_rates_by_its_rubric(self):
        suite = self.suite(choices=0, chats=2)
        with open(os.path.join(suite, "suite.toml"), "a") as f:
            f.write('check_with = {rubric = "Be brief."}\n')
        with open(os.path.join(suite, "suite.toml")) as f:
            text = f.read().replace('check = "exact"', 'check = "rubric"')
        self.write("suite/suite.toml", text.encode())
        self.write("suite/chat.jsonl", b'{"prompt": "Say A"}\n{"prompt": "Say B", "expected": {"reference": ["B"]}}\n')
        self.ask(suite)
        self.assertEqual({(r[4], r[5][:8]) for r in self.records()}, {(1, "no judge")})
        card = self.ask(suite, "--judge", self.url, "--judge-model", "strict")
        self.assertEqual(self.score(card, "chat", "rating")["mean"], 7)
        judge = card["variant"]["settings"]["judge"]
        self.assertEqual((judge["model"], len(judge["prompt_digest"])), ("strict", 64))
        asked = [b["messages"][-1]["content"] for _, b in self.server.requests if b["model"] == "strict"]
        self.assertEqual([("Be brief." in q, "Say" in q) for q in asked], [(True, True)] * 2)

    def test_one_without_prompt_log_probabilities_scores_nothing(self):
        for mode in ("generated only", "constant", "random"):
            with self.subTest(mode):
                self.server.mode = mode
                self.ask(self.suite(), "--name", mode, says="endpoint gives no prompt log-probabilities")
                reasons = {r[5][:44] for r in self.records()}
                self.assertEqual(reasons, {"endpoint gives no prompt log-probabilities ("[:44]})
                self.assertEqual({r[4] for r in self.records()}, {1})

    def test_garbage_does_not_pass_for_a_server_without_log_probabilities(self):
        suite = self.suite(choices=2)
        for mode in ("html", "garbage"):
            self.server.mode = mode
            self.ask(suite, code=74, says="2 answers failed")
        self.server.mode = "good"
        self.assertEqual(self.score(self.ask(suite), "words", "acc")["scored"], 2)

    def test_what_fails_for_the_moment_is_tried_again(self):
        self.server.mode = "sometimes"
        card = self.ask(self.suite(choices=0, chats=2), "--at-once", "1")
        self.assertEqual(self.score(card, "chat", "exact")["mean"], 1)
        self.assertEqual(len(self.server.requests), 4)

    def test_what_goes_wrong_is_counted_apart_and_asked_again(self):
        suite = self.suite(choices=0, chats=2)
        for mode, words in (("garbage", "not JSON"), ("html", "not JSON"), ("empty", "choices[0]"),
                            ("broken", "out of memory"), ("short", "127.0.0.1"), ("flood", "more than 16 MB"),
                            ("hang", "no complete answer within"), ("drip", "no complete answer within")):
            with self.subTest(mode):
                self.server.mode = mode
                card = self.ask(suite, "--attempts", "1", "--timeout", "1" if mode in ("hang", "drip") else "60", code=74,
                                says="2 answers failed; the same command asks for them again")
                self.assertFalse(card["complete"])
                self.assertEqual([r[4] for r in self.records()], [2, 2])
                for record in self.records():
                    self.assertIn(words, record[5])
        self.server.mode = "good"
        card = self.ask(suite)
        self.assertEqual((card["run"], card["complete"]), (1, True))
        self.assertEqual(self.score(card, "chat", "exact")["mean"], 1)

    def test_one_that_is_gone_ends_the_run(self):
        self.server.mode = "broken"
        self.ask(self.suite(choices=0, chats=100), "--attempts", "1", code=74, says="answers in a row failed")
        self.assertLess(len(self.records()), 100)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{s.getsockname()[1]}"
            self.ask(self.suite(chats=1), "--attempts", "1", code=74)

    def test_an_interrupt_does_not_wait_for_it(self):
        self.server.mode = "hang"
        process = subprocess.Popen([CARAT, "evaluate", "--endpoint", self.url, "--suite", self.suite(0, 2), "--store",
                                    self.store], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not self.server.requests and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=25)[1]
        self.assertEqual(process.returncode, 130, stderr)

    def test_keys_and_models(self):
        self.server.mode = "key"
        suite = self.suite(choices=0, chats=1)
        self.ask(suite, code=64, says="refuses the key")
        card = self.ask(suite, env={"CARAT_API_KEY": "secret-17"})
        with open(self.write("key", b"secret-17\n")) as f:
            self.ask(suite, "--api-key-file", f.name, "--again")
        self.assertNotIn("secret-17", json.dumps(card))
        with open(self.store, "rb") as f:
            self.assertNotIn(b"secret-17", f.read())
        self.ask(suite, env={"CARAT_API_KEY": "two words"}, code=65, says="one line of visible")
        self.server.mode, self.server.models = "good", ["a", "b"]
        self.ask(suite, code=64, says="--endpoint-model")
        self.ask(suite, "--endpoint-model", "b")
        self.assertEqual(self.server.requests[-1][1]["model"], "b")


if __name__ == "__main__":
    main()
