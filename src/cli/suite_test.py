#!/usr/bin/env python3
"""suite as its users meet it: lists, texts, imports, mistakes."""
import json
import os
import subprocess

from cli_testing import CARAT, Case, SOURCE, carat, main

TASK = """[suite]
name = "mine"
description = "of my own"
[[task]]
name = "capitals"
kind = "generate"
check = "exact"
items = "capitals.jsonl"
"""
ITEMS = [{"prompt": "Capital of France?", "answer": "Paris", "slice": "europe"},
         {"prompt": "Capital of Peru?", "answer": "Lima", "slice": "america", "id": "pe"}]


def lines(rows):
    return "".join(json.dumps(r) + "\n" for r in rows).encode()


class Suite(Case):
    def suite(self, task=TASK, items=ITEMS, name="mine"):
        os.makedirs(self.path(name), exist_ok=True)
        self.write(name + "/suite.toml", task.encode())
        self.write(name + "/capitals.jsonl", lines(items))
        return self.path(name)

    def test_show_and_check(self):
        path = self.suite()
        d = self.document("suite", "show", path)
        self.assertEqual((d["name"], d["version"], d["description"]), ("mine", "1", "of my own"))
        task = d["tasks"][0]
        self.assertEqual((task["items"], task["kind"], task["check"]), (2, "generate", "exact"))
        self.assertEqual(task["slices"], {"america": 1, "europe": 1})
        self.assertRegex(d["digest"], "^[0-9a-f]{64}$")
        self.assertEqual(self.document("suite", "check", path + "/suite.toml"),
                         {"schema_version": 1, "suite": "mine", "ok": True, "tasks": 1, "items": 2,
                          "digest": d["digest"]})
        text = self.succeed("suite", "show", path).stdout
        for part in ("mine version 1", "of my own", d["digest"], "2 generate items", "europe (1)"):
            self.assertIn(part, text)
        self.assertIn("good, 1 task, 2 items", self.succeed("suite", "check", path).stdout)

    def test_items_as_a_model_gets_them(self):
        path = self.suite()
        text = self.succeed("suite", "show", path, "capitals").stdout
        self.assertIn("[user]\nCapital of France?\n", text)
        self.assertNotIn("Peru", text)
        self.assertIn("Peru", self.succeed("suite", "show", path, "capitals", "-n", "9").stdout)
        item = self.document("suite", "show", path, "capitals", "--item", "pe")["items"]
        self.assertEqual([i["id"] for i in item], ["pe"])
        self.assertEqual(item[0]["expected"], {"answer": "Lima"})
        self.refuse(64, "suite", "show", path, "cities", says="capitals")
        self.refuse(64, "suite", "show", path, "capitals", "--item", "fr", says="no item 'fr'")

    def test_texts_of_a_suite_do_not_drive_the_terminal(self):
        path = self.suite(items=[{"prompt": "\x1b[2J", "answer": "x"}])
        self.assertNotIn("\x1b", self.succeed("suite", "show", path, "capitals").stdout)

    def test_list_and_names(self):
        self.suite()
        place = {**os.environ, "CARAT_SUITES": f"/nonexistent:{self.directory}"}
        d = self.document("suite", "list", env=place)
        mine = [s for s in d["suites"] if s["name"] == "mine"]
        self.assertEqual(mine[0]["path"], self.path("mine"))
        self.assertIn("of my own", self.succeed("suite", "list", env=place).stdout)
        self.assertEqual(self.document("suite", "check", "mine", env=place)["items"], 2)
        self.refuse(66, "suite", "check", "theirs", says="mine", env=place)
        self.suite(task="[suite", name="broken")
        done = self.succeed("suite", "list", env=place)
        self.assertIn("of my own", done.stdout)
        self.assertIn("broken/suite.toml:1", done.stderr)

    def test_import(self):
        source = self.write("q.jsonl", lines([{"query": f"{i}+1 =", "choices": ["0", str(i + 1)], "gold": 1}
                                              for i in range(10)]))
        out = self.path("out")
        d = self.document("suite", "import", "choice", source, "-o", out, "--limit", "5", "--name", "sums")
        self.assertEqual((d["items"], d["available"]), (5, 10))
        self.assertEqual(self.document("suite", "check", out)["digest"], d["digest"])
        self.assertEqual(self.document("suite", "show", out)["name"], "sums")
        self.refuse(64, "suite", "import", "choice", source, "-o", out, says="exists already")
        more = self.path("more")
        self.refuse(64, "suite", "import", "choise", source, "-o", more, says="did you mean 'choice'")
        self.refuse(64, "suite", "import", "choice", source, "-o", more, "--split", "file", says="--split")
        self.refuse(66, "suite", "import", "choice", self.path("none"), "-o", more, says="none")
        bad = self.write("bad.jsonl", b'{"query": "q", "choices": ["a"], "gold": 1')
        self.refuse(65, "suite", "import", "choice", bad, "-o", more, says="bad.jsonl:1")
        self.refuse(74, "suite", "import", "choice", source, "-o", self.path("no/where"), says="no/where")

    def test_mistakes(self):
        self.refuse(66, "suite", "check", self.path("none"), says="none")
        self.refuse(65, "suite", "check", self.suite(task=TASK + "promt = 'x'"), says="suite.toml:9")
        self.refuse(65, "suite", "check", self.suite(items=ITEMS + [{"prompt": "p"}]), says="capitals.jsonl:3")
        for words in ([], ["sing"], ["show"], ["check"], ["import", "choice"]):
            self.assertEqual(carat("suite", *words).returncode, 64, words)
        self.assertIn("mmlu", self.succeed("suite", "import", "--help").stdout)


class Shipped(Case):
    """What lies in suites/ of the source tree is found by name, whole, and has its licences named."""

    def test_an_installed_program_finds_its_suites(self):
        build, prefix = os.path.dirname(os.path.dirname(os.path.abspath(CARAT))), self.path("prefix")
        done = subprocess.run(["cmake", "--install", build, "--prefix", prefix], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        moved = self.path("moved")  # where it was installed does not matter
        os.rename(prefix, moved)
        environment = {k: v for k, v in os.environ.items() if k != "CARAT_SUITES"}
        listed = subprocess.run([moved + "/bin/carat", "suite", "list", "--json"], stdout=subprocess.PIPE, cwd="/",
                                env=environment)
        found = {s["name"]: s["path"] for s in json.loads(listed.stdout)["suites"]}
        self.assertEqual(found["smoke"], moved + "/share/carat/suites/smoke")
        self.assertTrue({"core", "long"} <= found.keys())
        self.assertTrue(os.path.exists(moved + "/share/carat/policies/default.toml"))
        self.assertTrue(os.path.exists(moved + "/share/carat/suites/LICENSES.md"))

    def test_shipped_suites_are_good(self):
        shipped = os.path.join(SOURCE, "suites")
        names = sorted(n for n in os.listdir(shipped) if os.path.isdir(os.path.join(shipped, n)))
        self.assertIn("core", names)
        self.assertIn("smoke", names)
        with open(os.path.join(shipped, "LICENSES.md"), encoding="utf-8") as f:
            licenses = f.read()
        for name in names:
            self.succeed("suite", "check", os.path.join(shipped, name))
            for file in os.listdir(os.path.join(shipped, name)):
                if file != "suite.toml":
                    self.assertIn(f"{name}/{file}", licenses)
        listed = {s["name"] for s in self.document("suite", "list", env={**os.environ, "CARAT_SUITES": shipped})["suites"]}
        self.assertLessEqual(set(names), listed)


main()
