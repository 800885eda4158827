"""What the tests of verbs that ask suites share: a store and suites in a folder that goes away."""
import json
import os
import sqlite3

from cli_testing import Case, carat

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
