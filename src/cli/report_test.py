"""carat report: the page is well-formed, self-contained and says what the cards say; and in a real browser, where there is
one, nothing on it overlaps or is cut off."""
import hashlib
import html.parser
import json
import os
import re
import shutil
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

from cli_testing import CARAT, Case, carat, main

HOSTILE = "</style><script>alert('x')</script><img src=x onerror=alert(1)> \u202e\x1b[31m &amp; \"quoted\""
VOID = {"meta", "br", "img", "hr", "link", "input"}
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

POLICY = """
[surface.default]
[[surface.default.rule]]
margin = 0.05
[[surface.default.rule]]
slice = "*"
margin = 0.05
"""


def record(task, item, right, slices, text):
    return {"task": task, "item": f"{item:04}", "outcome": "scored", "metrics": {"acc": right}, "slices": slices,
            "question": f"question {item} {text}", "answer": f"answer {right} {text}", "expected": "right", "reason": text}


def card(variant, lost=(), items=200, text="", digest="d" * 64, size=100_000_000, tasks=("reading", "sums"), **more):
    """A card whose variant is right on two items of three, except on `lost`, pairs of a task and a slice."""
    records, scores = [], []
    for task in tasks:
        names = sorted({f"subject={i % 4}{text}" for i in range(items)})
        values = {}
        for i in range(items):
            name = f"subject={i % 4}{text}"
            right = 1 if i % 3 and (task, f"subject={i % 4}") not in lost else 0
            values.setdefault("", []).append(right)
            values.setdefault(name, []).append(right)
            records.append(record(task, i, right, [name], text))
        for name in ["", *names]:
            mean = sum(values[name]) / len(values[name])
            scores.append({"task": task, "dimension": "knowledge", "slice": name, "metric": "acc", "mean": mean,
                           "standard_error": 0.03, "interval": [mean - 0.06, mean + 0.06], "scored": len(values[name]),
                           "clusters": len(values[name]), "items": len(values[name]), "unscored": 0, "failed": 0})
    return {"schema_version": 1, "run": 0,
            "variant": {"name": variant, "model": "/none/" + variant, "model_digest": f"{abs(hash(variant)):064x}"[-64:],
                        "settings": {"kv": "f16"}},
            "reference": "", "suite": {"name": "basics", "version": "1", "digest": digest}, "complete": True,
            "file_bytes": size, "provenance": {"date": "2026-11-20T12:00:00Z", "threads": 2, "note": text},
            "performance": {"first_token_seconds": {"p50": 0.1, "p90": 0.2, "p95": 0.3, "p99": 0.4, "mean": 0.1, "answers": 9}},
            "scores": scores, "records": records, **more}


class Strict(html.parser.HTMLParser):
    """Every tag is closed where it was opened, no attribute is there twice, and nothing runs or is fetched."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.problems, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        if len(names) != len(set(names)):
            self.problems.append(f"{tag}: an attribute twice")
        for name in names:
            if name in ("src", "href", "srcset", "action", "data", "ping", "formaction") or name.startswith("on"):
                self.problems.append(f"{tag}: {name}")
        if tag in ("script", "img", "iframe", "link", "object", "embed", "base", "form"):
            self.problems.append(f"a {tag}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes what is not open")

    def handle_data(self, data):
        self.text.append(data)


class Report(Case):
    def write(self, name, document):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(document if isinstance(document, str) else json.dumps(document))
        return path

    def page(self, *arguments):
        out = self.path("report.html")
        done = carat("report", *arguments, "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(out, encoding="utf-8") as f:
            return f.read()

    def check(self, page):
        ElementTree.fromstring(page.split("\n", 1)[1])  # strict XML
        parser = Strict()
        parser.feed(page)
        parser.close()
        self.assertEqual(parser.problems + parser.open, [])
        style = re.search(r"<style>(.*?)</style>", page, re.S).group(1)
        self.assertNotRegex(style, r"url\(|@import")
        return re.sub(r"\s+", " ", " ".join(parser.text))

    def fails(self, status, message, *arguments):
        out = self.path("none.html")
        done = carat("report", *arguments, "-o", out)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(message, done.stderr)
        self.assertFalse(os.path.exists(out))

    def two(self, text=""):
        base = self.write("base.json", card("base" + text, text=text, size=300_000_000))
        lossy = self.write("lossy.json", card("lossy" + text, {("sums", "subject=2")}, text=text))
        return base, lossy

    def test_a_loss_on_one_slice_is_on_top(self):
        text = self.check(self.page(*self.two()))
        self.assertIn("No policy was given", text)
        self.assertRegex(text, r"Surely worse than the baseline: B \(lossy\) on \d of 10 slices")
        self.assertRegex(text, r"Worst, and sure: sums · subject=2 , from 6\d\.0 % to 0\.0 %: 6\d\.0 points worse")
        self.assertIn("33 right to wrong, 0 wrong to right", text)
        self.assertIn("right → wrong", text)

    def test_a_policy_decides(self):
        base, lossy = self.two()
        same = self.write("same.json", card("same", size=200_000_000))
        policy = self.write("ship.toml", POLICY)
        text = self.check(self.page(base, lossy, same, "--policy", policy))
        self.assertRegex(text, r"B \(lossy\) loses more than is allowed")
        self.assertIn("BREACH for “default”: do not ship", text)
        self.assertIn("From ship.toml", text)
        done = carat("report", base, lossy, "--policy", policy, "-o", self.path("r.html"), "--json")
        document = json.loads(done.stdout)
        self.assertEqual(document["schema_version"], 1)
        self.assertEqual(document["candidates"][0]["verdicts"], {"default": "breach"})
        self.assertEqual(document["baseline"]["variant"], "base")

    def test_a_card_that_is_not_complete_or_stale_never_passes(self):
        base, _ = self.two()
        policy = self.write("ship.toml", POLICY)
        for more, words in (({"complete": False}, "Not complete"),
                            ({"provenance": {"carat_version": "0.0.0"}}, 'Stale: made by carat "0.0.0"')):
            same = self.write("same.json", card("same", **more) if "complete" in more else {**card("same"), **more})
            text = self.check(self.page(base, same, "--policy", policy))
            self.assertIn(words, text)
            self.assertNotIn("Ship B", text)

    def test_a_model_that_changed_without_changing_its_size_is_stale(self):
        base, _ = self.two()
        model = self.write("m.gguf", "weights")
        variant = {"name": "same", "model": model, "model_digest": hashlib.sha256(b"weights").hexdigest(), "settings": {}}
        same = self.write("same.json", {**card("same"), "variant": variant})
        policy = self.write("ship.toml", POLICY.replace("0.05", "0.1"))
        self.assertIn("Ship B", self.check(self.page(base, same, "--policy", policy)))
        self.write("m.gguf", "wfights")
        text = self.check(self.page(base, same, "--policy", policy))
        self.assertIn("is another file now", text)
        self.assertNotIn("Ship B", text)

    def test_texts_of_models_stay_texts(self):
        page = self.page(*self.two(HOSTILE))
        text = self.check(page)
        self.assertNotIn("\x1b", page)
        self.assertNotIn("\u202e", page)
        self.assertIn("<script>alert('x')</script>", text)

    def test_one_card_alone(self):
        base, _ = self.two()
        text = self.check(self.page(base))
        self.assertIn("One variant, compared with nothing", text)
        self.assertIn("Scores by slice", text)

    def test_the_baseline_may_be_named(self):
        base, lossy = self.two()
        text = self.check(self.page(base, lossy, "--baseline", lossy))
        self.assertIn("Baseline: A lossy", text)
        self.assertIn("No slice lost; the least gain", text)

    def test_the_same_cards_make_the_same_page(self):
        arguments = self.two()
        page = lambda: re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", self.page(*arguments))
        self.assertEqual(page(), page())

    def test_errors(self):
        base, lossy = self.two()
        other = self.write("other.json", card("other", digest="e" * 64))
        self.fails(65, "digest", base, other)
        self.fails(66, "none.json", base, self.path("none.json"))
        self.fails(65, "schema_version is missing", base, self.write("empty.json", "{}"))
        self.fails(65, "not valid JSON", base, self.write("broken.json", "{"))
        self.fails(66, "there is no store", base, "q4", "--store", self.path("s.sqlite"))
        self.fails(66, "none.toml", base, lossy, "--policy", self.path("none.toml"))
        copies = [self.write(f"{i}.json", "{}") for i in range(17)]
        self.fails(64, "at most 16 variants", base, *copies)
        done = carat("report", base, lossy, "-o", self.path("no/such/report.html"))
        self.assertEqual(done.returncode, 74, done.stderr)
        done = carat("report", base)
        self.assertEqual(done.returncode, 64)

    @unittest.skipUnless(BROWSER, "no chromium to look at the page with")
    def test_nothing_overlaps_or_is_cut_off(self):
        """The browser measures every text of the charts and the width of every section."""
        cases = {"usual": self.two(), "one": self.two()[:1]}
        cases["eight"] = [self.write("8.json", card("base", size=900_000_000))] + [
            self.write(f"eight{i}.json", card(f"variant {i}", {("sums", "subject=2")} if i % 2 else (), size=10**8 + i))
            for i in range(8)]
        long = "-a-very-long-name-of-an-organisation/and-of-a-model-with-many-parts-7B-Instruct"
        cases["long"] = self.two(long)
        cases["right to left"] = self.two(" שלום עולם مرحبا بالعالم")
        for name, arguments in cases.items():
            page = self.page(*arguments)
            for width in (1200, 420):
                self.assertEqual(self.measured(page, width), [], f"{name} at {width}")

    def measured(self, page, width):
        script = """<script>
        const problems = [];
        for (const svg of document.querySelectorAll('svg')) {
          const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
          const all = svg.getBoundingClientRect();
          boxes.forEach(([a, r], i) => {
            if (r.left < all.left - 1 || r.right > all.right + 1 || r.top < all.top - 1 || r.bottom > all.bottom + 1)
              problems.push('outside: ' + a);
            for (const [b, s] of boxes.slice(i + 1)) {
              const w = Math.min(r.right, s.right) - Math.max(r.left, s.left);
              const h = Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top);
              if (w > 1 && h > 0.3 * Math.min(r.height, s.height)) problems.push('overlap: ' + a + ' / ' + b);
            }
          });
        }
        if (document.documentElement.scrollWidth > innerWidth + 1) problems.push('wider than the window');
        for (const e of document.querySelectorAll('p, h1, h2, h3, dd, li, .variant, figure'))
          if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0) problems.push('cut: ' + e.textContent.slice(0, 60));
        document.body.textContent = 'MEASURED' + JSON.stringify(problems) + 'END';
        </script>"""
        page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", script + "</body>")
        path = self.write("measured.html", page)
        done = subprocess.run([BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900",
                               "--user-data-dir=" + self.path("profile"), "--dump-dom", "file://" + path],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=120)
        found = re.search(r"MEASURED(.*)END", done.stdout, re.S)
        self.assertTrue(found, "the browser said nothing")
        return json.loads(re.sub("&amp;", "&", found.group(1)))


if __name__ == "__main__":
    main()
