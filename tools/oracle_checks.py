#!/usr/bin/env python3
"""Compares carat's checks with the programs that define them.

usage: oracle_checks.py DRIVER [--data DIR] [--rounds N] [--seed S] [--show N]

 - JSON Schema: jsonschema's Draft202012Validator, on made-up schemas and instances and on JSONSchemaBench's
 - tool calls: bfcl_eval's ast_checker, on BFCL's ground truths and mutations of them
 - instructions: the checker of IFEval in lm_eval, on IFEval's instructions and made-up replies; sentences as NLTK
   counts them with its English model

DRIVER is the program carat_checks_oracle. --data is a directory with the public data sets; without one, the
small examples here are used. The checkers come from wheels that pip downloads, without what they depend on.
Exits 1 if schemas or tool calls differ at all, or instructions in more than 3 % of the judgements.
"""
import argparse
import ast
import collections
import json
import random
import subprocess
import sys
import tempfile
import types
import zipfile
from pathlib import Path

import jsonschema

WHEELS = {"lm_eval": "lm_eval==0.4.13", "bfcl_eval": "bfcl-eval==2026.3.23"}


class Driver:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the driver died on {json.dumps(request)[:2000]}")
        return json.loads(line)

    def judge(self, check, expected, reply):
        return self.ask(check=check, settings={}, expected=expected, reply=reply)


class Tally:
    def __init__(self, name, show):
        self.name, self.show = name, show
        self.same = self.different = self.open = 0

    def count(self, ours, theirs, what):
        if ours is None:
            self.open += 1
        elif ours == theirs:
            self.same += 1
        else:
            self.different += 1
            if self.different <= self.show:
                print(f"  {self.name}: carat {ours}, reference {theirs}: {what()[:1500]}")

    def report(self):
        total = self.same + self.different
        share = 100 * self.same / total if total else 0
        print(f"{self.name}: {self.same} of {total} agree ({share:.2f} %), {self.open} left open by carat")
        return self.different / total if total else 1


def wheel(name, directory):
    """The opened wheel, downloaded once."""
    found = list(directory.glob(name + "-*.whl"))
    if not found:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory),
                        WHEELS[name]], check=True)
        found = list(directory.glob(name + "-*.whl"))
    return zipfile.ZipFile(found[0])


def module_of(archive, path, name):
    """A module from its source in a wheel; what it imports must be in sys.modules or installed."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(archive.read(path).decode(), path, "exec"), module.__dict__)
    return module


def packages(*names):
    for name in names:
        if name not in sys.modules:
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = []


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# --- JSON Schema ---

def random_value(rng, depth=0):
    kind = rng.randrange(8 if depth < 3 else 6)
    if kind == 6:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {rng.choice("abcd"): random_value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return rng.choice([None, True, False, 0, 1, -1, 2, 1.0, 1.5, 0.1, 7, 100, "", "a", "ab", "abc", "é", "a1", "1"])


def random_schema(rng, depth=0):
    if depth > 3 or rng.random() < 0.05:
        return rng.choice([True, False, {}])
    sub = lambda: random_schema(rng, depth + 1)
    subs = lambda: [sub() for _ in range(rng.randint(1, 3))]
    names = lambda: {rng.choice("abcd"): sub() for _ in range(rng.randint(1, 3))}
    types_ = ["null", "boolean", "object", "array", "string", "number", "integer"]
    some = lambda: rng.sample("abcd", rng.randrange(3))
    keywords = {
        "type": lambda: rng.choice([rng.choice(types_), rng.sample(types_, 3)]),
        "const": lambda: random_value(rng), "enum": lambda: [random_value(rng) for _ in range(4)],
        "minimum": lambda: rng.choice([0, 1, 1.5]), "maximum": lambda: rng.choice([1, 2, 7]),
        "exclusiveMinimum": lambda: rng.choice([0, 1]), "exclusiveMaximum": lambda: rng.choice([1, 2.0]),
        "multipleOf": lambda: rng.choice([1, 2, 0.5, 7]),
        "minLength": lambda: rng.randrange(3), "maxLength": lambda: rng.randrange(4),
        "pattern": lambda: rng.choice(["^a", "b$", "^[a-z]+$", "\\d", "^.$", "a|b"]),
        "items": sub, "prefixItems": subs, "contains": sub, "minContains": lambda: rng.randrange(3),
        "maxContains": lambda: rng.randrange(3), "minItems": lambda: rng.randrange(3), "maxItems": lambda: rng.randrange(4),
        "uniqueItems": lambda: rng.random() < 0.7, "unevaluatedItems": sub,
        "properties": names, "patternProperties": lambda: {rng.choice(["^a", "[bc]", "d$"]): sub()},
        "additionalProperties": sub, "propertyNames": sub, "required": some,
        "minProperties": lambda: rng.randrange(3), "maxProperties": lambda: rng.randrange(4),
        "dependentRequired": lambda: {rng.choice("abcd"): some()}, "dependentSchemas": names,
        "unevaluatedProperties": sub, "allOf": subs, "anyOf": subs, "oneOf": subs, "not": sub, "if": sub, "then": sub,
        "else": sub, "$ref": lambda: rng.choice(["#/$defs/x", "#/$defs/y"])}
    schema = {k: keywords[k]() for k in rng.sample(sorted(keywords), rng.randint(1, 4))}
    if depth == 0:
        # What references lead to holds none itself, so that nothing refers to itself.
        clean = lambda s: {k: v for k, v in s.items() if "$ref" not in json.dumps(v) and k != "$ref"} if isinstance(s, dict) else s
        schema["$defs"] = {"x": clean(random_schema(rng, 2)), "y": clean(random_schema(rng, 2))}
    return schema


def compare_schemas(driver, rng, rounds, data, show):
    tally = Tally("JSON Schema (jsonschema)", show)

    def one(schema, instance):
        theirs = jsonschema.Draft202012Validator(schema).is_valid(instance)
        answer = driver.ask(schema=schema, instance=instance, formats=False)
        tally.count(answer.get("valid"), theirs, lambda: json.dumps([schema, instance]))

    for _ in range(rounds):
        schema = random_schema(rng)
        for _ in range(5):
            one(schema, random_value(rng))
    for file in sorted(data.glob("jsonschemabench/*.jsonl")) if data else []:
        for line in lines_of(file)[::5]:
            for test in line["tests"]:
                one(line["schema"], test["data"])
    return tally.report() == 0


# --- tool calls ---

BFCL_EXAMPLES = [
    ([{"name": "play.song", "parameters": {"type": "dict", "properties": {
        "artist": {"type": "string"}, "minutes": {"type": "integer"}, "volume": {"type": "float"},
        "tags": {"type": "array", "items": {"type": "string"}}, "loop": {"type": "boolean"},
        "place": {"type": "dict", "properties": {}}, "pairs": {"type": "array", "items": {"type": "dict"}},
        "span": {"type": "tuple", "items": {"type": "float"}}}, "required": ["artist"]}},
      {"name": "stop", "parameters": {"type": "dict", "properties": {}, "required": []}}],
     [{"play.song": {"artist": ["Maroon 5", "maroon-five"], "minutes": [15, ""], "volume": [0.5, 1], "loop": [True, ""],
                     "tags": [["a b", "C"], ""], "place": [{"x": [1, 2], "y": ["North, upper", ""]}, ""],
                     "pairs": [[{"k": ["v"]}, {"k": [2]}], ""], "span": [[1.5, 2.0], ""]}},
      {"stop": {}}])]


def bfcl_cases(data):
    cases = list(BFCL_EXAMPLES)
    for category in ["simple_python", "multiple", "parallel", "live_simple"] if data else []:
        questions = {q["id"]: q["function"] for q in lines_of(data / f"bfcl/BFCL_v4_{category}.json")}
        for answer in lines_of(data / f"bfcl/possible_answer/BFCL_v4_{category}.json"):
            if answer["id"] in questions:
                cases.append((questions[answer["id"]], answer["ground_truth"]))
    return cases


def pick(rng, allowed):
    """One of the allowed values; members of dictionaries are lists of allowed values themselves."""
    value = rng.choice(allowed)
    choose = lambda d: {k: rng.choice(v) for k, v in d.items() if not ("" in v and rng.random() < 0.5)}
    if isinstance(value, dict):
        return choose(value)
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        return [choose(v) for v in value]
    return value


def right_calls(rng, truth):
    calls = []
    for call in truth:
        (name, arguments), = call.items()
        given = {}
        for key, allowed in arguments.items():
            present = [a for a in allowed if a != ""]
            if not present or ("" in allowed and rng.random() < 0.5):
                continue
            given[key] = pick(rng, present)
        calls.append({name: given})
    return calls


def mutate(rng, calls):
    kind = rng.randrange(12)
    if kind == 0:
        rng.shuffle(calls)
    elif kind == 1:
        calls.append(calls[0])
    elif kind == 2:
        calls.pop()
    else:
        (name, arguments), = calls[rng.randrange(len(calls))].items() if calls else (("f", {}),)
        if kind == 3:
            calls[0] = {name + "x": arguments}
            return
        if kind == 4:
            arguments["extra"] = 1
            return
        if not arguments:
            return
        key = rng.choice(sorted(arguments))
        value = arguments[key]
        if kind == 5:
            del arguments[key]
        elif isinstance(value, bool):
            arguments[key] = rng.choice([not value, int(value), str(value), None])
        elif isinstance(value, (int, float)):
            arguments[key] = rng.choice([value + 1, float(value), str(value), int(value), [value], value == 1])
        elif isinstance(value, str):
            arguments[key] = rng.choice([value.upper(), value.lower(), value + "!", value.replace(" ", ""), value + ".",
                                         value.replace("'", '"'), value[:-1], [value], "", 1, value.replace(",", " - ")])
        elif isinstance(value, list):
            arguments[key] = rng.choice([value[::-1], value[:-1], value + value[:1], [str(v) for v in value], str(value), [],
                                         [v.upper() if isinstance(v, str) else v for v in value], [None]])
        elif isinstance(value, dict):
            other = dict(value)
            if other and rng.random() < 0.7:
                inner = rng.choice(sorted(other))
                other[inner] = rng.choice([1, "x", True, str(other[inner]), str(other[inner]).upper()])
                if rng.random() < 0.3:
                    del other[inner]
            else:
                other["z"] = 1
            arguments[key] = rng.choice([other, other, {}, str(other)])


def compare_tools(driver, rng, rounds, data, show, wheels):
    archive = wheel("bfcl_eval", wheels)
    packages("bfcl_eval", "bfcl_eval.constants", "bfcl_eval.constants.model_config", "bfcl_eval.eval_checker",
             "bfcl_eval.eval_checker.ast_eval", "bfcl_eval.eval_checker.ast_eval.type_convertor",
             "bfcl_eval.eval_checker.ast_eval.type_convertor.java_type_converter",
             "bfcl_eval.eval_checker.ast_eval.type_convertor.js_type_converter")
    base = "bfcl_eval.eval_checker.ast_eval.type_convertor."
    sys.modules[base + "java_type_converter"].java_type_converter = None
    sys.modules[base + "js_type_converter"].js_type_converter = None
    plain = types.SimpleNamespace(underscore_to_dot=False)
    sys.modules["bfcl_eval.constants.model_config"].MODEL_CONFIG_MAPPING = collections.defaultdict(lambda: plain)
    enums = module_of(archive, "bfcl_eval/constants/enums.py", "bfcl_eval.constants.enums")
    module_of(archive, "bfcl_eval/constants/type_mappings.py", "bfcl_eval.constants.type_mappings")
    checker = module_of(archive, "bfcl_eval/eval_checker/ast_eval/ast_checker.py", "bfcl_eval.ast_checker")

    tally = Tally("tool calls (bfcl_eval)", show)
    crashed = 0
    cases = bfcl_cases(data)
    for i in range(max(rounds, 4 * len(cases) if data else rounds)):
        functions, truth = cases[i % len(cases)]
        calls = json.loads(json.dumps(right_calls(rng, truth)))
        if rng.random() < 0.75:
            mutate(rng, calls)
            calls = json.loads(json.dumps(calls))
        if not calls:
            continue
        python = rng.random() < 0.5
        if python:
            reply = "[" + ", ".join(
                f"{name}({', '.join(f'{k}={v!r}' for k, v in a.items())})" for c in calls for name, a in c.items()) + "]"
            try:
                ast.parse(reply, mode="eval")
            except SyntaxError:  # an argument that is no name, or is a keyword of Python
                python = False
        if not python:
            reply = json.dumps([{"name": n, "arguments": a} for c in calls for n, a in c.items()])
        try:
            theirs = checker.ast_checker(functions, calls, truth, enums.Language.PYTHON,
                                         "parallel" if len(truth) > 1 else "multiple", "any")["valid"]
        except Exception:  # some mutations are more than the reference can compare
            crashed += 1
            continue
        answer = driver.judge("tools", {"functions": functions, "ground_truth": truth}, reply)
        ours = answer["metrics"]["ast"] == 1 if "metrics" in answer else answer
        tally.count(ours, theirs, lambda: json.dumps([reply, truth, answer]))
    print(f"  ({crashed} that the reference could not judge were left out)")
    return tally.report() == 0


# --- instructions ---

TEXT = """The quick brown fox jumps over the lazy dog. Dr. Smith, who lives in the U.S. with his wife, said: "It is 3.5 miles!" Was it?
Nobody knows... The end is near. I have read e.g. three books, i.e. too many, at 5 p.m. on Sunday. She works for Acme Inc. and likes it.
1. First, we go home. 2. Then we eat. * a point
* another point - with a dash
- a dash

<<A title>> and *some highlights* and **bold ones**. NASA and the ESA DON'T agree. P.S. I love you. P.P.S. Me too
SECTION 1 text Section 2 more [name] [address] {"a": 1}
*** a divider ***
****** another one
My answer is yes. "quoted" """


def make_reply(rng, texts, words, prompt, kind, kwargs):
    reply = rng.choice(texts)
    start = rng.randrange(max(1, len(reply) - 200))
    reply = reply[start:start + rng.choice([40, 200, 800, 3000])]
    pieces = reply.split("\n")
    for _ in range(rng.randrange(4)):
        extra = rng.choice([
            "*x*", "**bold text**", "* point", "- dash", "***", "******", "[place]", "<<T>>", "P.S. yes", "P.P.S. yes", "p. p.s",
            "SECTION 1", "Section 2", "PARAGRAPH 3", "A, B", "My answer is no.", "NASA", "U.S.A.", "DON'T STOP", "", "",
            str(rng.choice(words)), str(kwargs.get("keyword", "z")), " ".join(kwargs.get("keywords", [])),
            " ".join(kwargs.get("forbidden_words", [])), kwargs.get("end_phrase", ""), kwargs.get("postscript_marker", ""),
            str(kwargs.get("letter", "")) * rng.randrange(30), kwargs.get("first_word", "")])
        pieces.insert(rng.randrange(len(pieces) + 1), extra)
    reply = rng.choice(["\n", "\n\n"]).join(pieces)
    action = rng.randrange(14)
    if action == 0:
        reply = reply.upper()
    elif action == 1:
        reply = reply.lower()
    elif action == 2:
        reply = f'"{reply.strip()}"'
    elif action == 3:
        reply = reply.replace(",", "")
    elif action == 4:
        reply = kwargs.get("prompt_to_repeat", prompt) + "\n\n" + reply
    elif action == 5:
        reply = reply + "\n" + kwargs.get("end_phrase", "The end.")
    elif action == 6:
        reply = "```json\n" + json.dumps({"text": reply}) + "\n```"
    elif action == 7:
        n = kwargs.get("num_paragraphs") or 3
        parts = [reply[i * 50:i * 50 + 50].strip() or "x" for i in range(n)]
        nth = kwargs.get("nth_paragraph", 1) - 1
        if nth < n:
            parts[nth] = str(kwargs.get("first_word", "The")).title() + ", " + parts[nth]
        reply = rng.choice(["\n\n", "\n***\n", " *** ", "******"]).join(parts)
    elif action == 8:
        marker = kwargs.get("section_spliter", "Section")
        reply = "\n".join(f"{marker} {i + 1}\n{reply[:30]}" for i in range(kwargs.get("num_sections", 3)))
    elif action == 9:
        reply = "\n".join(f"* {reply[i * 20:i * 20 + 20]}" for i in range(kwargs.get("num_bullets", 4)))
    elif action == 10:
        reply = rng.choice(["", " ", "***", "My answer is yes.", "Sure!\n" + reply, reply + "\nBye"])
    return reply


def compare_instructions(driver, rng, rounds, data, show, wheels):
    import langdetect
    import nltk
    import punkt.data.english as english

    langdetect.DetectorFactory.seed = 0
    # NLTK's data without its download: the same model as literals.
    parameters = nltk.tokenize.punkt.PunktParameters()
    parameters.abbrev_types = set(english.ABBREV_TYPES)
    parameters.collocations = set(english.COLLOCATIONS)
    parameters.sent_starters = set(english.SENT_STARTERS)
    parameters.ortho_context = collections.defaultdict(int, english.ORTHO_CONTEXT)
    sentences = nltk.tokenize.punkt.PunktSentenceTokenizer(parameters)
    treebank = nltk.tokenize.NLTKWordTokenizer()
    nltk.data.find = lambda *a, **k: ""
    nltk.data.load = lambda *a, **k: sentences
    nltk.word_tokenize = lambda text: [t for s in sentences.tokenize(text) for t in treebank.tokenize(s)]

    archive = wheel("lm_eval", wheels)
    packages("lm_eval", "lm_eval.tasks", "lm_eval.tasks.ifeval")
    for name in ["instructions_util", "instructions", "instructions_registry"]:
        module = module_of(archive, f"lm_eval/tasks/ifeval/{name}.py", f"lm_eval.tasks.ifeval.{name}")
        setattr(sys.modules["lm_eval.tasks.ifeval"], name, module)
    utils = module_of(archive, "lm_eval/tasks/ifeval/utils.py", "lm_eval.tasks.ifeval.utils")
    import logging
    logging.disable(logging.CRITICAL)

    texts = [TEXT]
    languages = {}
    items = []
    if data:
        for name in ["wiki.utf8", "c4.utf8", "tiny.utf8", "technical.utf8", "multilingual.utf8"]:
            text = (data / "calibration" / name).read_text(errors="ignore")
            texts += [text[i:i + 20000] for i in range(0, 200000, 20000)]
        items = lines_of(data / "ifeval/input_data.jsonl")
    if not items:
        examples = {
            "punctuation:no_comma": {}, "startend:quotation": {}, "detectable_format:title": {},
            "length_constraints:number_sentences": {"relation": "at least", "num_sentences": 4},
            "length_constraints:number_words": {"relation": "less than", "num_words": 60},
            "length_constraints:number_paragraphs": {"num_paragraphs": 3}, "detectable_format:json_format": {},
            "length_constraints:nth_paragraph_first_word": {"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "also"},
            "keywords:existence": {"keywords": ["fox", "end"]}, "keywords:forbidden_words": {"forbidden_words": ["dog"]},
            "keywords:frequency": {"keyword": "the", "relation": "at least", "frequency": 3},
            "keywords:letter_frequency": {"letter": "q", "let_relation": "less than", "let_frequency": 2},
            "detectable_format:number_bullet_lists": {"num_bullets": 3}, "combination:two_responses": {},
            "detectable_format:number_highlighted_sections": {"num_highlights": 2},
            "detectable_format:multiple_sections": {"section_spliter": "Section", "num_sections": 2},
            "detectable_content:number_placeholders": {"num_placeholders": 2},
            "detectable_content:postscript": {"postscript_marker": "P.P.S"},
            "detectable_format:constrained_response": {}, "change_case:english_capital": {},
            "change_case:english_lowercase": {}, "language:response_language": {"language": "en"},
            "change_case:capital_word_frequency": {"capital_relation": "at least", "capital_frequency": 3},
            "startend:end_checker": {"end_phrase": "The end."}, "combination:repeat_prompt": {"prompt_to_repeat": "Say it."}}
        items = [{"prompt": "Say it.", "instruction_id_list": [k], "kwargs": [v]} for k, v in examples.items()]
    words = TEXT.split()

    per_kind = collections.defaultdict(lambda: Tally("", show))
    total = Tally("instructions (lm_eval), strict and loose", 0)
    for i in range(max(rounds, 12 * len(items) if data else rounds)):
        item = items[i % len(items)]
        choose = rng.randrange(len(item["instruction_id_list"]))
        kind, kwargs = item["instruction_id_list"][choose], item["kwargs"][choose]
        reply = make_reply(rng, texts, words, item["prompt"], kind, kwargs)
        request = utils.InputExample(0, [kind], item["prompt"], [kwargs])
        theirs = (utils.test_instruction_following_strict(request, reply).follow_all_instructions,
                  utils.test_instruction_following_loose(request, reply).follow_all_instructions)
        answer = driver.judge("instructions", {"instruction_id_list": [kind], "kwargs": [kwargs]}, reply)
        ours = (None, None)
        if answer.get("kind") == "scored":
            ours = (answer["metrics"]["prompt_strict"] == 1, answer["metrics"]["prompt_loose"] == 1)
        elif "error" in answer:
            raise SystemExit(f"refused: {answer['error']}: {json.dumps(item)}")
        for o, t in zip(ours, theirs):
            per_kind[kind].name = kind
            per_kind[kind].count(o, t, lambda: json.dumps([kwargs, reply], ensure_ascii=False))
            total.count(o, t, str)
    for kind in sorted(per_kind):
        if per_kind[kind].different or per_kind[kind].open:
            print("  ", end="")
            per_kind[kind].report()

    counts = Tally("sentences (NLTK, English Punkt)", show)
    for text in texts:
        for paragraph in text.split("\n\n"):
            if paragraph.strip() and paragraph.isascii():
                counts.count(driver.ask(sentences=paragraph)["sentences"], len(sentences.tokenize(paragraph)),
                             lambda: paragraph)
    counts.report()
    return total.report() <= 0.03


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("driver")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--wheels", type=Path, help="a directory to keep the wheels in")
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=3, help="differences to show of each kind")
    parser.add_argument("--only", choices=["schemas", "tools", "instructions"])
    options = parser.parse_args()
    driver = Driver(options.driver)
    data = options.data if options.data and options.data.exists() else None
    with tempfile.TemporaryDirectory() as temporary:
        wheels = options.wheels or Path(temporary)
        wheels.mkdir(exist_ok=True)
        rest = (random.Random(options.seed), options.rounds, data, options.show)
        results = []
        if options.only in (None, "schemas"):
            results.append(compare_schemas(driver, *rest))
        if options.only in (None, "tools"):
            results.append(compare_tools(driver, *rest, wheels))
        if options.only in (None, "instructions"):
            results.append(compare_instructions(driver, *rest, wheels))
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
