#!/usr/bin/env python3
"""evaluate --endpoint as its users meet it: servers good and bad."""
import http.server
import json
import os
import signal
import socket
import subprocess
import threading
import time

from cli_testing import CARAT, main
from suite_testing import Suites


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
