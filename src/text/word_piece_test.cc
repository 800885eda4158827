// WordPiece on small vocabularies. llama.cpp's vectors are in tokenizer_test.cc, agreement with the
// tokenizers package is tools/oracle_tokenizers.py's business.
#include <gtest/gtest.h>

#include "text/tokenizer.h"

namespace carat {
namespace {

struct Toy {
  std::vector<std::string> tokens = {"[PAD]",   "[UNK]",     "[CLS]",   "[SEP]",        "\u2581un",
                                     "aff",     "able",      "\u2581a", "\u2581b",      "c",
                                     "\u2581,", "\u2581caf", "e",       "\u2581\u4e2d", "a",
                                     "\u2581A", "\u00e9",    "\u2581i", "\u0307"};
  Metadata more;
  std::shared_ptr<const Tokenizer> make() const {
    Metadata m = more;
    std::vector<int32_t> types(tokens.size(), 1);
    types[0] = types[2] = types[3] = 3;
    types[1] = 2;
    m.set("tokenizer.ggml.model", Value::string("bert"));
    m.set("tokenizer.ggml.tokens", Value::strings(tokens));
    m.set("tokenizer.ggml.token_type", Value::i32s(types));
    m.set("tokenizer.ggml.unknown_token_id", Value::u32(1));
    m.set("tokenizer.ggml.bos_token_id", Value::u32(2));
    m.set("tokenizer.ggml.seperator_token_id", Value::u32(3));
    auto t = Tokenizer::from_metadata(m);
    EXPECT_TRUE(t) << t.error().message;
    return t ? *t : nullptr;
  }
  std::vector<std::string> cut(const std::string& text) const {
    std::vector<std::string> out;
    const auto ids = make()->encode(text, false, false);
    EXPECT_TRUE(ids) << ids.error().message;
    for (const TokenId id : *ids) out.push_back(tokens[static_cast<size_t>(id)]);
    return out;
  }
};

using Cut = std::vector<std::string>;

TEST(WordPiece, TheLongestTokenFromTheLeftOrTheWholeWordIsUnknown) {
  const Toy toy;
  EXPECT_EQ(toy.cut("unaffable"), (Cut{"\u2581un", "aff", "able"}));
  EXPECT_EQ(toy.cut("unaffably"), (Cut{"[UNK]"}));
  EXPECT_EQ(toy.cut("aff"), (Cut{"[UNK]"})) << "begins no word: a is all there is, ff is nothing";
  EXPECT_EQ(toy.cut("bc,  b\n"), (Cut{"\u2581b", "c", "\u2581,", "\u2581b"}));
  EXPECT_EQ(toy.cut(" \t\n"), Cut{});
}

TEST(WordPiece, CaseAccentsControlsAndChineseCharacters) {
  Toy toy;
  EXPECT_EQ(toy.cut("CAFÉ"), (Cut{"\u2581caf", "e"}));
  EXPECT_EQ(toy.cut("cafe\u0301"), (Cut{"\u2581caf", "e"}));
  EXPECT_EQ(toy.cut("b\u4e2db"), (Cut{"\u2581b", "\u2581\u4e2d", "\u2581b"}));
  EXPECT_EQ(toy.cut("b\u200d\x01\xff"
                    "c\ufffd"),
            (Cut{"\u2581b", "c"}));
  EXPECT_EQ(toy.cut("b\u00a0b"), (Cut{"\u2581b", "\u2581b"}));
  toy.more.set("tokenizer.ggml.normalizer.lowercase", Value::boolean(false));
  EXPECT_EQ(toy.cut("A"), (Cut{"\u2581A"}));
  EXPECT_EQ(toy.cut("caf\u00e9"), (Cut{"\u2581caf", "\u00e9"}));
  toy.more.set("tokenizer.ggml.normalizer.strip_accents", Value::boolean(true));
  EXPECT_EQ(toy.cut("caf\u00e9"), (Cut{"\u2581caf", "e"}));
  toy.more.set("tokenizer.ggml.normalizer.lowercase", Value::boolean(true));
  toy.more.set("tokenizer.ggml.normalizer.strip_accents", Value::boolean(false));
  EXPECT_EQ(toy.cut("\u0130"), (Cut{"\u2581i", "\u0307"}));
}

TEST(WordPiece, WordsOfMoreThanAHundredCharactersAreUnknown) {
  const Toy toy;
  EXPECT_EQ(toy.cut(std::string(100, 'a')).size(), 100u);
  EXPECT_EQ(toy.cut(std::string(101, 'a')), (Cut{"[UNK]"}));
  EXPECT_EQ(toy.cut(std::string(1 << 20, 'a')), (Cut{"[UNK]"}));
}

TEST(WordPiece, BeginsAndEndsATextAsTheFileSays) {
  Toy toy;
  EXPECT_EQ(*toy.make()->encode("b", true, false), (std::vector<TokenId>{2, 8, 3}));
  EXPECT_EQ(toy.make()->decode({2, 4, 5, 6, 8, 3}, false), "unaffable b");
  toy.more.set("tokenizer.ggml.add_sep_token", Value::boolean(false));
  EXPECT_EQ(*toy.make()->encode("b", true, false), (std::vector<TokenId>{2, 8}));
}

TEST(WordPiece, AVocabularyWithoutTheMarkersIsAnError) {
  Metadata m;
  m.set("tokenizer.ggml.model", Value::string("bert"));
  m.set("tokenizer.ggml.tokens", Value::strings({"a"}));
  const auto t = Tokenizer::from_metadata(m);
  ASSERT_FALSE(t);
  EXPECT_NE(t.error().message.find("bos_token_id"), std::string::npos);
  m.set("tokenizer.ggml.tokens", Value::strings({}));
  EXPECT_FALSE(Tokenizer::from_metadata(m));
}

}  // namespace
}  // namespace carat
