#!/usr/bin/env python3
"""compare and gate as their users meet them: cards in files, policies, exit codes, documents."""
import hashlib
import json
import os
import sqlite3
import xml.etree.ElementTree

from cli_testing import carat, Case, main, SOURCE

POLICY = """schema_version = 1
[surface.default]
[[surface.default.rule]]
margin = 0.05
[[surface.default.rule]]
slice = "*"
margin = 0.1
[surface.small]
[[surface.small.limit]]
quantity = "file_bytes"
at_most = 1000
"""


class Cards(Case):
    def setUp(self):
        super().setUp()
        self.policy = self.write("policy.toml", POLICY.encode())
        self.store = ["--store", self.path("scores.sqlite")]

    def card(self, name, right, **more):
        """600 answers in three slices; right(i) says which are right."""
        records = [
            {"task": "quiz", "item": str(i), "cluster": str(i), "slices": [f"topic={i % 3}"], "outcome": "scored",
             "metrics": {"acc": 1 if right(i) else 0}, "question": f"What is {i}?", "expected": "yes",
             "answer": "yes" if right(i) else "no <b>\x1b[31m"}
            for i in range(600)
        ]
        card = {
            "schema_version": 1, "run": 0, "complete": True, "file_bytes": 900, "reference": "",
            "variant": {"name": name, "model": "gone.gguf", "model_digest": "a" * 64, "settings": {"kv": "f16"}},
            "suite": {"name": "s", "version": "1", "digest": "d" * 64},
            "provenance": {"threads": 2}, "performance": {}, "scores": [], "records": records, **more,
        }
        return self.write(f"{name}.json", json.dumps(card).encode())

    def gate(self, a, b, *more):
        return carat("gate", a, b, "--policy", self.policy, *self.store, *more)


class Gate(Cards):
    def test_the_same_answers_pass(self):
        a = self.card("a", lambda i: i % 5)
        done = self.gate(a, a)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        self.assertIn("noise floor", done.stderr)
        self.assertIn("pass", done.stdout)

    def test_a_broken_slice_is_a_breach(self):
        """The whole loses 0.01: five right answers are won elsewhere for six lost in one topic."""
        a = self.card("a", lambda i: i % 5)
        b = self.card("b", lambda i: i % 5 and not (i % 3 == 1 and i < 150) or i % 5 == 0 and i % 3 != 1 and i < 500)
        junit, markdown = self.path("gate.xml"), self.path("gate.md")
        done = self.gate(a, b, "--junit", junit, "--markdown", markdown, "--json", "--author", "somebody")
        self.assertEqual(done.returncode, 1, done.stderr)
        d = json.loads(done.stdout)
        self.assertEqual(next(iter(d)), "schema_version")
        self.assertEqual((d["verdict"], d["author"]), ("breach", "somebody"))
        surfaces = {s["surface"]: s for s in d["surfaces"]}
        self.assertEqual(surfaces["small"]["verdict"], "pass")
        rows = {r["subject"]: r for r in surfaces["default"]["results"]}
        self.assertEqual(rows["quiz topic=1"]["verdict"], "breach")
        self.assertEqual(rows["quiz topic=1"]["difference"]["worse"], 40)
        self.assertEqual(rows["quiz"]["verdict"], "pass")
        root = xml.etree.ElementTree.parse(junit).getroot()
        self.assertEqual((root.get("failures"), root.get("errors")), ("1", "0"))
        with open(markdown, encoding="utf-8") as f:
            text = f.read()
        self.assertIn("breach", text)
        self.assertIn("What is", text)
        self.assertNotIn("<b>", text)
        self.assertNotIn("\x1b", text)
        with sqlite3.connect(self.path("scores.sqlite")) as store:
            rows = store.execute("select surface, verdict, author from decisions order by surface").fetchall()
        self.assertEqual(rows, [("default", "breach", "somebody"), ("small", "pass", "somebody")])

    def test_surfaces_are_chosen(self):
        a, b = self.card("a", lambda i: i % 5), self.card("b", lambda i: i % 2)
        self.assertEqual(self.gate(a, b, "--surface", "small").returncode, 0)
        self.assertEqual(self.gate(a, b, "--surface", "default").returncode, 1)
        done = self.gate(a, b, "--surface", "tiny")
        self.assertEqual(done.returncode, 64)
        self.assertIn("default, small", done.stderr)

    def test_a_dry_run_writes_nothing(self):
        a = self.card("a", lambda i: i % 5)
        before = sorted(os.listdir(self.directory))
        self.assertEqual(self.gate(a, a, "--dry-run", "--junit", self.path("x.xml")).returncode, 0)
        self.assertEqual(sorted(os.listdir(self.directory)), before)

    def test_what_was_measured_must_still_be_there(self):
        model = self.write("m.gguf", b"weights")
        digest = hashlib.sha256(b"weights").hexdigest()
        variant = {"name": "a", "model": model, "model_digest": digest, "settings": {}}
        a = self.card("a", lambda i: i % 5, variant=variant)
        self.assertEqual(self.gate(a, a).returncode, 0)
        self.write("m.gguf", b"other weights")
        done = self.gate(a, a)
        self.assertEqual(done.returncode, 2)
        self.assertIn("stale", done.stdout)
        self.assertEqual(self.gate(a, a, "--allow-stale").returncode, 0)
        self.assertIn("stale", carat("compare", a, a).stderr)
        old = self.card("old", lambda i: i % 5, provenance={"carat_version": "0.0.1"})
        self.assertEqual(self.gate(old, old).returncode, 2)

    def test_incomplete_cards_are_inconclusive(self):
        a = self.card("a", lambda i: i % 5, complete=False)
        self.assertEqual(self.gate(a, a).returncode, 2)

    def test_mistakes(self):
        a = self.card("a", lambda i: i % 5)
        self.refuse(65, "gate", a, self.card("b", lambda i: 1, suite={"name": "s", "version": "1", "digest": "e" * 64}),
                    "--policy", self.policy, *self.store, says="other exams")
        bad = self.write("bad.toml", b"[surface.a]\n[[surface.a.rule]]\nmargins = 1\n")
        self.refuse(65, "gate", a, a, "--policy", bad, *self.store, says="bad.toml:")
        self.refuse(66, "gate", a, a, "--policy", self.path("none.toml"), *self.store)
        self.refuse(66, "gate", a, self.path("none.json"), "--policy", self.policy, *self.store)
        self.refuse(66, "gate", a, "nobody", "--policy", self.policy, *self.store, says="no store")
        self.refuse(64, "gate", a, a, *self.store, says="--policy")
        self.refuse(65, "compare", a, self.card("bare", lambda i: 1, records=[]), says="no records")

    def test_the_shipped_policy_is_read(self):
        a = self.card("a", lambda i: i % 5)
        done = carat("gate", a, a, "--policy", os.path.join(SOURCE, "policies/default.toml"), "--dry-run", "--json", *self.store)
        self.assertEqual(len(json.loads(done.stdout)["surfaces"]), 2, done.stderr)


class Compare(Cards):
    def test_document(self):
        a, b = self.card("a", lambda i: i % 5), self.card("b", lambda i: i % 5 and i > 20)
        d = self.document("compare", a, b)
        self.assertEqual([s["slice"] for s in d["slices"]], ["", "topic=0", "topic=1", "topic=2"])
        whole = d["slices"][0]
        self.assertEqual((whole["items"], whole["worse"], whole["better"]), (600, 16, 0))
        self.assertAlmostEqual(whole["damage"], 16 / 600)
        self.assertEqual(len(d["flips"]), 16)
        done = self.succeed("compare", a, b, "--flips", "3")
        self.assertIn("16 wrong now, 0 right now", done.stdout)
        self.assertEqual(done.stdout.count("What is"), 3)
        self.assertNotIn("\x1b", done.stdout)


if __name__ == "__main__":
    main()
