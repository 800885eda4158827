#!/usr/bin/env python3
"""Compares carat's tokenizers with the packages tokenizers and sentencepiece on generated text.

usage: oracle_tokenizers.py DRIVER [--rounds N] [--seed S]

DRIVER is the program carat_text_oracle. For each family the way its published tokenizer.json cuts text is set up
in tokenizers with a small vocabulary trained here; WordPiece and unigram models are trained too. Exits 1 if anything differs.
"""
import argparse
import random
import sys
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from oracle_text import Driver, compare_ids, random_text

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
END = r"\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|" + END
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
HEAD = r"[^\r\n\p{L}\p{N}]?"


def o200k(contractions, digits):
    return (f"{HEAD}{UPPER}*{LOWER}+{contractions}|{HEAD}{UPPER}+{LOWER}*{contractions}|{digits}| ?[^\\s\\p{{L}}\\p{{N}}]+[\\r\\n/]*|"
            + END)


DEEPSEEK_V3 = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
               r"[!" + '"' + r"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
               + END]
# Six of its characters do not survive normalization, hence the escapes.
DEEPSEEK_LETTERS = (
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌ"
    "ῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻"
    "𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+")
CJK = "[一-龥ࠀ-一가-퟿]+"


def split(regex):
    return pre_tokenizers.Split(Regex(regex), "isolated")


def words(**more):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, **more)


DIGITS = pre_tokenizers.Digits(True)
# Name of a family: its steps before the bytes are written as characters, normalizer, ignore_merges.
FAMILIES = {
    "gpt-2": ([words()], None, False),
    "smollm": ([DIGITS, words()], None, False),  # StarCoder, StarCoder2, Granite 3 and Granite Code too
    "command-r": ([DIGITS, words()], "NFC", False),
    "llama-bpe": ([split(CL100K % "{1,3}")], None, True),
    "dbrx": ([split(CL100K % "{1,3}")], None, False),  # OLMo 2, GLM-4
    "qwen2": ([split(CL100K % "")], "NFC", False),
    "deepseek-r1-qwen": ([split(CL100K % "")], None, False),
    "tekken": ([split(o200k("", r"\p{N}"))], None, True),
    "gpt-4o": ([split(o200k(CONTRACTIONS + "?", r"\p{N}{1,3}"))], None, False),  # gpt-oss
    "deepseek-llm": ([split("[\r\n]"), split(DEEPSEEK_LETTERS), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), split(r"\s+$"),
                      split(CJK), DIGITS], None, False),
    "deepseek-coder": ([split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(CJK), DIGITS], None, False),
    "deepseek-v3": ([split(s) for s in DEEPSEEK_V3], None, False),
    "falcon": ([pre_tokenizers.Punctuation("contiguous"), words(), split("[0-9][0-9][0-9]")], None, False),
}


def corpus(rng, without=""):
    return [random_text(rng).translate(dict.fromkeys(map(ord, without))) for _ in range(3000)]


def check_loaded(driver, rng, rounds, name, directory, encode, special, vocab_size=0):
    reply = driver.ask(op="load_hf", directory=directory, vocab_size=vocab_size)
    if "error" in reply:
        print(f"{name}: {reply['error']}")
        return 1
    return compare_ids(driver, rng, rounds, name, encode, special)


def encoder(tokenizer):
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def check_byte_level(driver, rng, rounds):
    bad = 0
    for name, (steps, normalizer, ignore_merges) in FAMILIES.items():
        tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
        # ByteLevel writes the bytes, and falcon's third step sees them so.
        bytes_last = not any(isinstance(s, pre_tokenizers.ByteLevel) for s in steps)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps + [words(use_regex=False)] * bytes_last)
        if normalizer:
            tokenizer.normalizer = normalizers.NFC()
        tokenizer.train_from_iterator(corpus(rng), trainers.BpeTrainer(
            vocab_size=1500, show_progress=False, special_tokens=["<|endoftext|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        with tempfile.TemporaryDirectory() as directory:
            tokenizer.save(f"{directory}/tokenizer.json")
            bad += check_loaded(driver, rng, rounds, name, directory, encoder(tokenizer), True, 1600)
    return bad


def check_word_piece(driver, rng, rounds):
    bad = 0
    for lowercase, strip in [(True, None), (False, None), (True, False), (False, True)]:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        # GGUF marks the beginning of words with U+2581, which tokens therefore cannot contain.
        tokenizer.train_from_iterator(corpus(rng, "\u2581"), trainers.WordPieceTrainer(
            vocab_size=2500, limit_alphabet=600, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        with tempfile.TemporaryDirectory() as directory:
            tokenizer.save(f"{directory}/tokenizer.json")
            name = f"WordPiece, lowercase {lowercase}, strip_accents {strip}"
            bad += check_loaded(driver, rng, rounds, name, directory, encoder(tokenizer), True)
            ids = driver.ask(op="encode", text="a", special=False, add=True).get("ids")
            if ids != tokenizer.encode("a").ids:
                print(f"{name}: with special tokens {ids}, expected {tokenizer.encode('a').ids}")
                bad += 1
            bad += check_written(driver, rng, rounds // 2, name)
    return bad


def check_written(driver, rng, rounds, name, text_of=random_text, settle=lambda text, expected: expected):
    """The files carat writes of what it has loaded, in tokenizers."""
    with tempfile.TemporaryDirectory() as directory:
        reply = driver.ask(op="write", directory=directory)
        if "error" in reply:
            print(f"{name}: {reply['error']}")
            return 1
        tokenizer = Tokenizer.from_file(f"{directory}/tokenizer.json")
        encode = lambda text: settle(text, tokenizer.encode(text, add_special_tokens=False).ids)
        bad = compare_ids(driver, rng, rounds, name + ", written", encode, True, text_of)
        reply = driver.ask(op="load_hf", directory=directory, vocab_size=0)
        if "error" in reply:
            print(f"{name}: {reply['error']}")
            return bad + 1
        return bad + compare_ids(driver, rng, rounds, name + ", read back", encode, True, text_of)


class SentencePiece:
    """Of cuts whose scores are equal, or nearly, rounding decides: sentencepiece adds up a whole text, in single precision."""

    def __init__(self, model, driver):
        self.processor = sentencepiece.SentencePieceProcessor(model_file=model)
        self.driver = driver
        self.ties = 0

    def settle(self, text, expected, special=True):
        """The expected ids, or carat's where they are as good."""
        ids = self.driver.ask(op="encode", text=text, special=special, add=False).get("ids", [])
        pieces = lambda ids: "".join(self.processor.id_to_piece(i) for i in ids)
        score = lambda ids: sum(self.processor.get_score(i) for i in ids)
        if ids == expected or pieces(ids) != pieces(expected) or abs(score(ids) - score(expected)) > 1e-3:
            return expected
        self.ties += 1
        return ids

    def __call__(self, text):
        return self.settle(text, self.processor.encode(text), False)


def single_characters(rng):
    """No clusters of characters, which tokenizers maps as wholes, nothing that is mapped to nothing (no space goes before
    it there), nor byte tokens and U+2581, which tokenizers finds in text."""
    text = random_text(rng).replace("<0x41>", "").replace("\u2581", "")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Mn", "Me", "Mc", "Cf", "Cc"))


def check_unigram(driver, rng, rounds):
    bad = 0
    for rule, merge, prefix, fallback in [("nmt_nfkc", True, True, False), ("nfkc_cf", True, False, True),
                                          ("identity", False, True, True), ("nmt_nfkc", False, True, False)]:
        with tempfile.TemporaryDirectory() as directory:
            texts = [t.replace("\n", " ").replace("\0", "") for t in corpus(rng)]
            Path(f"{directory}/text").write_text("\n".join(texts))
            sentencepiece.SentencePieceTrainer.train(
                input=f"{directory}/text", model_prefix=f"{directory}/tokenizer", model_type="unigram", vocab_size=1500, byte_fallback=fallback,
                normalization_rule_name=rule, remove_extra_whitespaces=merge, add_dummy_prefix=prefix, character_coverage=0.98,
                minloglevel=2, hard_vocab_limit=False)
            name = f"unigram, {rule}, spaces {'merged' if merge else 'kept'}{', bytes' if fallback else ''}"
            reference = SentencePiece(f"{directory}/tokenizer.model", driver)
            bad += check_loaded(driver, rng, rounds, name, directory, reference, False)
            bad += check_written(driver, rng, rounds // 2, name, single_characters, reference.settle)
            print(f"  of these, {reference.ties} cut differently with the same score")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("driver")
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    driver = Driver(options.driver)
    bad = check_byte_level(driver, rng, options.rounds)
    bad += check_word_piece(driver, rng, options.rounds)
    bad += check_unigram(driver, rng, options.rounds)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
