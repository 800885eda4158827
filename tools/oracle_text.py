#!/usr/bin/env python3
"""Compares carat's chat templates and tokenizers with jinja2, tokenizers and sentencepiece.

usage: oracle_text.py DRIVER [--templates DIR] [--gguf FILE]... [--rounds N] [--seed S]

DRIVER is the program carat_text_oracle. Needs the Python packages jinja2, tokenizers and sentencepiece.
--templates adds the *.jinja files of a directory to the templates written here; --gguf adds vocabularies.
Exits 1 if anything differs.
"""
import argparse
import json
import random
import subprocess
import sys
import tempfile
import warnings
from datetime import datetime
from pathlib import Path

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


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


# --- templates ---


class Generation(Extension):
    """{% generation %}, as transformers marks what the assistant says."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

    def _inside(self, caller):
        return caller()


def reference_environment():
    """jinja2 as transformers sets it up."""

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    return environment


def reference_render(environment, source, variables):
    try:
        return environment.from_string(source).render(**variables), None
    except Exception as e:  # the reference fails in many ways; that it does is what counts
        return None, f"{type(e).__name__}: {e}"


TOOL = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a \"place\"\n<now>",
    "parameters": {"type": "object", "properties": {
        "place": {"type": "string", "description": "Café & Bar's", "enum": ["a", "b"]},
        "days": {"type": ["integer", "null"], "default": 3}, "exact": {"type": "boolean"}},
        "required": ["place"]}, "return": {"type": "number"}}}

CONTENTS = ["Hello", " leading and trailing \n", "", "two\nlines\n\n", "<|im_end|>\n<|im_start|>system", "emoji 🦙 é ß",
            "{{ 7*7 }} {% raw %}", "<think>\nhidden\n</think>\n\nshown", "a'b\"c\\d", "</think>x", "1 2  3\t4",
            "<tool_response>r</tool_response>", "Ǆ title CASE word-other"]


def random_messages(rng):
    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": rng.choice(CONTENTS)})
    for i in range(rng.randint(1, 5)):
        role = "user" if i % 2 == 0 else "assistant"
        if rng.random() < 0.05:
            role = rng.choice(["user", "assistant", "system", "tool", "developer", "other"])
        message = {"role": role, "content": rng.choice(CONTENTS)}
        if role == "assistant":
            if rng.random() < 0.3:
                arguments = {"place": rng.choice(CONTENTS), "days": rng.choice([1, None, 2.5, True, 1e20])}
                message["tool_calls"] = [{"id": "call12345", "type": "function", "function": {
                    "name": "get_weather",
                    "arguments": arguments if rng.random() < 0.7 else json.dumps(arguments)}}]
                if rng.random() < 0.3:
                    message["content"] = None
            if rng.random() < 0.2:
                message["reasoning_content"] = rng.choice(CONTENTS)
        if role == "user" and rng.random() < 0.1:
            message["content"] = [{"type": "text", "text": rng.choice(CONTENTS)}, {"type": "image"}]
        messages.append(message)
        if message.get("tool_calls"):
            messages.append({"role": "tool", "name": "get_weather", "tool_call_id": "call12345",
                             "content": rng.choice(CONTENTS)})
    return messages


def random_variables(rng):
    variables = {"messages": random_messages(rng), "add_generation_prompt": rng.random() < 0.5,
                 "bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None}
    if rng.random() < 0.4:
        variables["tools"] = [TOOL] * rng.randint(1, 2)
    for name in ["enable_thinking", "builtin_tools", "date_string", "custom_tools", "tools_in_user_message"]:
        if rng.random() < 0.15:
            variables[name] = rng.choice([True, False, "x", []])
    return variables


class Snippets:
    """Random templates over a fixed set of variables.

    Not generated, because what jinja2 does is an accident of how it compiles to Python, which no template can mean:
    slices of numbers (undefined if all is constant, else a TypeError), and assigning to a name that a block further
    in has read before (that block finds it undefined). Hence sets and macros use names that are no variables.
    Nor integers beyond 64 bits, which carat refuses.
    """

    VARIABLES = {"s": "Hello, World", "t": "  two  words ", "e": "", "n": 7, "z": 0, "m": -3, "f": 2.5, "b": True,
                 "x": None, "l": [3, 1, 2], "w": ["b", "A", "c", "a"], "d": {"k": "v", "a": 1, "B": [1, 2]},
                 "o": [{"n": "x", "v": 2, "r": "u"}, {"n": "y", "v": 1, "r": "a"}, {"n": "x", "v": 3}],
                 "u": "naïve Ünïcode 🦙 test-case\nline two\n\nend"}
    STRINGS = ["s", "t", "e", "u", "'a,b,,c'", "\"it's\"", "'x' * 3", "d.k", "w[0]", "s[1:4]", "u[::-1]", "s[-3:]",
               "'%s=%d' % ('a', 3)", "'<b>&'", "'é\\n\\t\\x41\\u00e9'", "o[0]['n']", "w|join('-')", "n|string", "s ~ n ~ f ~ b ~ x"]
    NUMBERS = ["n", "z", "m", "f", "l[0]", "2 + 3 * 4", "n // 2", "m // 2", "n % 3", "m % 3", "n / 2", "2 ** 3", "-n", "s|length",
               "l|sum", "w|length", "f|int", "'12'|int", "'x'|int(5)", "f|round", "3.14159|round(2)", "m|abs", "l|max", "10 ** -2",
               "1e3", "1_000", "0x1f", "n if b else z", "o|sum(attribute='v')", "7.0", "1e17", "0.1 + 0.2"]
    LISTS = ["l", "w", "o", "l[1:]", "w[::-1]", "s.split(', ')", "t.split()", "u.split(' ', 1)", "range(3)|list", "range(5, 0, -2)|list", "[1, 'a', none]",
             "(1, 2)", "d|list", "d.keys()|list", "d.values()|list", "d|dictsort", "w|sort", "l|sort(reverse=true)", "w|unique|list",
             "o|map(attribute='n')|list", "w|map('upper')|list", "o|selectattr('v', 'gt', 1)|list", "o|rejectattr('r')|list",
             "l|select('odd')|list", "l|reject('equalto', 1)|list", "l + [4]", "w|reverse|list", "l|batch(2)|list", "u.splitlines()",
             "o|groupby('n')|list", "o|sort(attribute='v')", "d.items()|list", "'a-b-c'.rsplit('-', 1)", "w|sort(case_sensitive=true)"]
    TESTS = ["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "float", "boolean",
             "true", "false", "odd", "even", "divisibleby 3", "divisibleby(2)", "in [7, 's']", "equalto 7", "eq(0)", "ne 3", "lt 5", "ge(0)",
             "not none", "not defined", "sameas none", "upper", "lower", "callable"]
    STRING_FILTERS = ["trim", "upper", "lower", "title", "capitalize", "length", "replace('l', 'L')", "replace('', '.')", "e", "safe", "first", "last",
                      "default('q')", "default('q', true)", "tojson", "indent(2)", "indent(2, true)", "indent(first=true)", "list", "reverse",
                      "wordcount", "truncate(8)", "truncate(9, true, '!')", "string", "urlencode", "join('.')", "trim('Hd')", "int", "float",
                      "replace('l', 'L', 1)", "indent('> ', blank=true)"]
    STRING_METHODS = ["strip()", "lstrip()", "rstrip('d ')", "upper()", "lower()", "title()", "capitalize()", "startswith('H')", "endswith(('d', 'x'))",
                      "replace('o', '0')", "replace('o', '0', 1)", "find('o')", "rfind('o')", "count('l')", "split('o')", "split(',', 1)[-1]", "isdigit()",
                      "isalpha()", "isspace()", "islower()", "zfill(15)", "center(20, '*')", "ljust(15)", "partition(',')", "removeprefix('He')", "splitlines()",
                      "index('')", "swapcase()", "isalnum()", "rsplit('l', 1)", "format(1)", "nothing", "join(['x', 'y'])"]
    ANY_FILTERS = ["tojson", "tojson(indent=2)", "tojson(separators=(',', ':'))", "string", "default(1)", "length", "first", "last", "list", "join", "join(', ')",
                   "int", "float", "round(1)", "abs", "max", "min", "sum", "sort", "unique|list", "reverse|list", "items|list", "dictsort", "tojson(sort_keys=true)", "upper"]

    def __init__(self, rng):
        self.rng = rng

    def expression(self, depth=0):
        r = self.rng
        pick = r.random()
        if depth > 2:
            return r.choice(self.STRINGS + self.NUMBERS + self.LISTS + ["d", "o[0]", "missing", "x", "b", "none", "true"])
        inner = lambda: self.expression(depth + 1)
        if pick < 0.25:
            return r.choice(self.STRINGS + self.NUMBERS + self.LISTS + ["d", "missing", "x", "b"])
        if pick < 0.40:
            return f"({r.choice(self.STRINGS)})|{r.choice(self.STRING_FILTERS)}"
        if pick < 0.50:
            return f"({r.choice(self.STRINGS)}).{r.choice(self.STRING_METHODS)}"
        if pick < 0.60:
            return f"({inner()})|{r.choice(self.ANY_FILTERS)}"
        if pick < 0.68:
            return f"({inner()}) is {r.choice(['', 'not '])}{r.choice(self.TESTS)}"
        if pick < 0.78:
            return f"({inner()}) {r.choice(['+', '-', '*', '/', '//', '%', '~', '==', '!=', '<', '>=', 'in', 'not in', 'and', 'or'])} ({inner()})"
        if pick < 0.81:
            return f"({inner()})[{r.choice(['0', '-1', '9', 'n', chr(39) + 'k' + chr(39)])}]"
        if pick < 0.84:
            return f"({r.choice(self.STRINGS + self.LISTS)})[{r.choice(['1:', ':-1', '::2', '::-1', '-2:', ':0', '5:1:-1'])}]"
        if pick < 0.88:
            return f"{inner()} if {inner()} else {inner()}"
        if pick < 0.92:
            return f"[{inner()}, {inner()}]"
        if pick < 0.95:
            return f"{{'p': {inner()}, 'q': {inner()}}}"
        return f"not ({inner()})"

    def statement(self, depth=0):
        r = self.rng
        space = lambda: r.choice(["", "", "-", "+"])
        pick = r.random()
        newline = r.choice(["", "\n", " \n  ", "  ", "text\n", "a "])
        body = lambda: "".join(self.statement(depth + 1) for _ in range(r.randint(1, 2))) if depth < 3 else "leaf"
        tag = lambda code: f"{{%{space()} {code} {space()}%}}"
        if depth > 2 or pick < 0.35:
            return newline + f"{{{{{r.choice(['', '-'])} {self.expression()} {r.choice(['', '-'])}}}}}"
        if pick < 0.5:
            return newline + tag(f"if {self.expression(1)}") + body() + (tag(f"elif {self.expression(1)}") + body() if r.random() < 0.3 else "") + \
                (tag("else") + body() if r.random() < 0.5 else "") + tag("endif") + newline
        if pick < 0.65:
            loop = r.choice(["{{ loop.index }}", "{{ loop.index0 }}{{ loop.revindex }}", "{{ loop.first }}{{ loop.last }}", "{{ loop.length }}",
                             "{{ loop.previtem }}|{{ loop.nextitem }}", "{{ loop.cycle('a', 'b') }}", "{{ loop.changed(i) }}", "{{ loop.depth }}", ""])
            control = r.choice(["", "", tag("if loop.index > 1") + tag(r.choice(["break", "continue"])) + tag("endif")])
            condition = r.choice(["", "", " if i", " if i is string", " if i != 1"])
            return newline + tag(f"for i in {r.choice(self.LISTS)}{condition}") + loop + "{{ i }}" + control + body() + \
                (tag("else") + body() if r.random() < 0.3 else "") + tag("endfor")
        if pick < 0.72:
            return tag(f"set {r.choice(['p', 'q'])} = {self.expression(1)}") + body()
        if pick < 0.77:
            return tag("set q") + body() + tag("endset") + "[{{ q }}]"
        if pick < 0.82:
            return tag("set ns = namespace(c=0, s='')") + tag("for i in l") + tag("set ns.c = ns.c + i") + tag("set ns.s = ns.s ~ i") + \
                tag("endfor") + "{{ ns.c }}{{ ns.s }}" + newline
        if pick < 0.89:
            return tag("macro call_me(a, b='d', c=none)") + body() + "{{ a }}/{{ b }}/{{ c }}{{ varargs }}{{ kwargs }}" + tag("endmacro") + \
                "{{ call_me(" + r.choice(["1", "s, c=2", "b='z', a='y'", "", "1, 2, 3", "l|first, *[4, 5]", "1, k=2", "1,2,3,4"]) + ") }}"
        if pick < 0.92:
            return tag("macro wrap(x)") + "<{{ caller(x) }}>" + tag("endmacro") + tag("call(y) wrap(5)") + body() + "{{ y }}" + tag("endcall")
        if pick < 0.95:
            return tag("filter " + r.choice(["upper", "trim", "replace('a', 'b')|trim"])) + body() + tag("endfilter")
        if pick < 0.97:
            return tag("generation") + body() + tag("endgeneration")
        if pick < 0.985:
            return "{#" + space() + " note " + space() + "#}" + newline
        return tag("raw") + "{{ not }} {% this %}" + tag("endraw")

    def template(self):
        return "".join(self.statement() for _ in range(self.rng.randint(1, 4)))


def compare(environment, driver, source, variables, name, report):
    expected, failure = reference_render(environment, source, variables)
    reply = driver.ask(op="render", template=source, variables=variables)
    if expected is None:
        if "text" in reply:
            report.append((name, "accepted", f"jinja2: {failure}\n  carat: {reply['text'][:300]!r}", source))
    elif reply.get("text") != expected:
        got = reply.get("text", reply.get("error"))
        at = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
        begin = max(0, at - 60)
        report.append((name, "differs", f"jinja2: {expected[begin:at + 200]!r}\n  carat: {got[begin:at + 200]!r}", source))


def check_templates(driver, rng, rounds, directories):
    environment = reference_environment()
    report = []
    count = 0
    for directory in directories:
        for path in sorted(Path(directory).glob("*.jinja")):
            source = path.read_text()
            for _ in range(max(3, rounds // 50)):
                compare(environment, driver, source, random_variables(rng), path.name, report)
                count += 1
    for _ in range(rounds):
        source = Snippets(rng).template()
        compare(environment, driver, source, Snippets.VARIABLES, "generated", report)
        count += 1
    return count, report


# --- tokenizers ---


def random_text(rng):
    """Words, digits, spaces, punctuation and characters of many scripts, all assigned in Unicode 13."""
    pieces = []
    for _ in range(rng.randint(0, 25)):
        kind = rng.randrange(12)
        if kind < 3:
            pieces.append("".join(rng.choice("etaoinshrdlucmfwypvbgkjqxz") for _ in range(rng.randint(1, 9))))
        elif kind == 3:
            pieces.append(rng.choice([" ", "  ", "\n", "\t", "\r\n", "     ", " \n ", "\u00a0", "\u3000", "\u2028", "\x85", "\v"]))
        elif kind == 4:
            pieces.append(str(rng.randrange(10 ** rng.randint(1, 9))))
        elif kind == 5:
            pieces.append("".join(rng.choice("!?.,:;'\"()[]{}<>|@#$%^&*-_=+/\\~`") for _ in range(rng.randint(1, 4))))
        elif kind == 6:
            pieces.append(rng.choice(["'s", "'LL", "'re", "I'm", "don't", "'\u017f", "The", " Hello", "WORLD", "camelCase"]))
        elif kind == 7:
            low, high = rng.choice([(0xa1, 0x17f), (0x391, 0x3c9), (0x410, 0x44f), (0x5d0, 0x5ea), (0x627, 0x64a), (0x905, 0x939),
                                    (0xe01, 0xe30), (0x3041, 0x3096), (0x30a1, 0x30fa), (0x4e00, 0x9fa5), (0xac00, 0xd7a3), (0x1f300, 0x1f5ff),
                                    (0x1e00, 0x1eff), (0x2000, 0x206f), (0x2190, 0x21ff), (0xff01, 0xff5e), (0x660, 0x669), (0x2160, 0x2188),
                                    (0x20000, 0x200ff), (0x300, 0x36f), (0x10400, 0x1044f)])
            pieces.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 5))))
        elif kind == 8:
            pieces.append(" ")
        elif kind == 9:
            pieces.append(chr(rng.choice([0, 1, 7, 0x1b, 0x7f, 0x80, 0xad, 0x200b, 0x200d, 0xfe0f, 0xfeff, 0xfffd, 0x10ffff, 0xe000])))
        elif kind == 10:
            pieces.append(rng.choice("aA1 .\n") * rng.randint(1, 40))
        else:
            pieces.append(rng.choice(["\u2581", "\u0120", "<s>", "</s>", "<|endoftext|>", "<|im_end|>", "<0x41>", "<unk>"]))
    return "".join(pieces)


def compare_ids(driver, rng, rounds, name, reference, special, text_of=random_text):
    """reference(text) -> ids. Specials in the text are recognised in both."""
    bad = 0
    for _ in range(rounds):
        text = text_of(rng)
        reply = driver.ask(op="encode", text=text, special=special, add=False)
        expected = reference(text)
        if reply.get("ids") != expected:
            bad += 1
            if bad <= 3:
                print(f"--- {name}: {text!r}\n  expected {expected}\n  carat    {reply}")
    print(f"{name}: {rounds} texts, {bad} differ")
    return bad


def check_written_files(driver, rng, rounds, gguf):
    """Files written from a GGUF load in tokenizers, give its ids, and read back give carat's."""
    from tokenizers import Tokenizer

    name = Path(gguf).stem
    reply = driver.ask(op="load", gguf=str(gguf))
    if "error" in reply:
        print(f"{name}: {reply['error']}")
        return 1
    with tempfile.TemporaryDirectory() as directory:
        reply = driver.ask(op="write", directory=directory)
        if "error" in reply:
            print(f"{name}: {reply['error']}")
            return 1
        tokenizer = Tokenizer.from_file(f"{directory}/tokenizer.json")
        encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
        bad = compare_ids(driver, rng, rounds, name, encode, True)
        tokens = driver.ask(op="load", gguf=str(gguf))["tokens"]
        reply = driver.ask(op="load_hf", directory=directory, vocab_size=tokens)
        if reply.get("tokens") != tokens:
            print(f"{name}: reading the written files back gives {reply}")
            return bad + 1
        return bad + compare_ids(driver, rng, rounds // 2, name + " read back", encode, True)


def corpus(rng):
    return [random_text(rng) for _ in range(3000)]


def check_trained(driver, rng, rounds):
    """Small tokenizers trained here: byte-level ones of several cuts, and SentencePiece BPE."""
    import sentencepiece
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    words = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
             r"\s+(?!\S)|\s+")
    split = lambda regex: pre_tokenizers.Split(Regex(regex), "isolated")
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    cuts = {
        "gpt-2": (pre_tokenizers.ByteLevel(add_prefix_space=False), None),
        "smollm": (pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), None),
        "llama-bpe": (pre_tokenizers.Sequence([split(words % "{1,3}"), last]), None),
        "qwen2": (pre_tokenizers.Sequence([split(words % ""), last]), normalizers.NFC()),
        "deepseek-coder": (pre_tokenizers.Sequence([split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"),
                                                    split("[一-龥ࠀ-一가-퟿]+"), pre_tokenizers.Digits(True), last]), None),
    }
    bad = 0
    for name, (cut, normalizer) in cuts.items():
        tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
        tokenizer.pre_tokenizer = cut
        if normalizer:
            tokenizer.normalizer = normalizer
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.train_from_iterator(corpus(rng), trainers.BpeTrainer(
            vocab_size=1500, show_progress=False, special_tokens=["<|endoftext|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        with tempfile.TemporaryDirectory() as directory:
            tokenizer.save(f"{directory}/tokenizer.json")
            reply = driver.ask(op="load_hf", directory=directory, vocab_size=1600)
            if "error" in reply:
                print(f"trained {name}: {reply['error']}")
                bad += 1
                continue
            encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
            bad += compare_ids(driver, rng, rounds, f"trained {name}", encode, True)
    with tempfile.TemporaryDirectory() as directory:
        texts = [t.replace("\n", " ").replace("\0", "") for t in corpus(rng)]
        Path(f"{directory}/text").write_text("\n".join(texts))
        sentencepiece.SentencePieceTrainer.train(
            input=f"{directory}/text", model_prefix=f"{directory}/tokenizer", model_type="bpe", vocab_size=1200, byte_fallback=True,
            normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, character_coverage=0.98,
            user_defined_symbols=["<tool>"], minloglevel=2, allow_whitespace_only_pieces=True)
        processor = sentencepiece.SentencePieceProcessor(model_file=f"{directory}/tokenizer.model")
        reply = driver.ask(op="load_hf", directory=directory, vocab_size=1216)
        if "error" in reply:
            print(f"trained sentencepiece: {reply['error']}")
            return bad + 1
        bad += compare_ids(driver, rng, rounds, "trained sentencepiece", processor.encode, False)
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("driver")
    parser.add_argument("--templates", action="append", default=[])
    parser.add_argument("--gguf", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    warnings.simplefilter("ignore", SyntaxWarning)  # jinja2 compiles odd generated templates to odd Python
    driver = Driver(options.driver)
    count, report = check_templates(driver, rng, options.rounds, options.templates)
    differs = [r for r in report if r[1] == "differs"]
    accepted = [r for r in report if r[1] == "accepted"]
    for name, kind, what, source in (differs + accepted)[:20]:
        print(f"--- {name} {kind}\n  {what}" + (f"\n  template: {source!r}" if name == "generated" else ""))
    print(f"templates: {count} renderings, {len(differs)} differ, {len(accepted)} that jinja2 refuses are accepted")
    bad = len(differs) + check_trained(driver, rng, options.rounds // 2)
    for gguf in options.gguf:
        bad += check_written_files(driver, rng, options.rounds, gguf)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
