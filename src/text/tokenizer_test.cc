// Tokenizers against llama.cpp's published vectors, against known ids, and against broken vocabularies.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/random.h"
#include "containers/gguf.h"
#include "text/byte_alphabet.h"
#include "text/pre_tokenizer.h"

namespace carat {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class TokenizerVectors : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerVectors, IdsAreThoseOfLlamaCpp) {
  const std::string path =
      std::string(CARAT_SOURCE_DIR) + "/../shared/data/tokenizer-vectors/ggml-vocab-" + GetParam() + ".gguf";
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << "needs the vocabularies of llama.cpp's tests at " << path;
  auto file = read_gguf(path);
  ASSERT_TRUE(file) << file.error().message;
  auto tokenizer = Tokenizer::from_metadata(file->metadata);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;

  const std::string inputs = read_text(path + ".inp");
  std::istringstream outputs(read_text(path + ".out"));
  const std::string separator = "\n__ggml_vocab_test__\n";
  int cases = 0;
  std::string line;
  for (size_t begin = 0; std::getline(outputs, line); ++cases) {
    const size_t end = inputs.find(separator, begin);
    const std::string text = inputs.substr(begin, end == std::string::npos ? end : end - begin);
    begin = end + separator.size();
    std::vector<TokenId> expected;
    std::istringstream numbers(line);
    for (TokenId id; numbers >> id;) expected.push_back(id);
    auto ids = (*tokenizer)->encode(text, false, false);
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_EQ(*ids, expected) << "text: " << testing::PrintToString(text);
    if (std::string_view(GetParam()) == "bert-bge") continue;  // loses case, accents and spaces
    EXPECT_EQ((*tokenizer)->decode(*ids, false), text);
  }
  EXPECT_GE(cases, 40);
}

INSTANTIATE_TEST_SUITE_P(Published, TokenizerVectors,
                         testing::Values("gpt-2", "llama-spm", "deepseek-coder", "phi-3", "falcon",
                                         "bert-bge"));

/// All 256 byte characters, then what a test adds: a byte-level vocabulary without merges.
struct Toy {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<std::string> merges;
  std::string pre = "gpt-2";

  Toy() {
    for (const uint16_t c : byte_alphabet) append_utf8(c, tokens.emplace_back());
    types.assign(tokens.size(), 1);
  }
  TokenId add(const std::string& text, int32_t type = 1) {
    tokens.push_back(text);
    types.push_back(type);
    return static_cast<TokenId>(tokens.size()) - 1;
  }
  Metadata metadata() const {
    Metadata m;
    m.set("tokenizer.ggml.model", Value::string("gpt2"));
    m.set("tokenizer.ggml.pre", Value::string(pre));
    m.set("tokenizer.ggml.tokens", Value::strings(tokens));
    m.set("tokenizer.ggml.token_type", Value::i32s(types));
    m.set("tokenizer.ggml.merges", Value::strings(merges));
    return m;
  }
  std::shared_ptr<const Tokenizer> make() const {
    auto t = Tokenizer::from_metadata(metadata());
    EXPECT_TRUE(t) << t.error().message;
    return t ? *t : nullptr;
  }
};

Metadata sentencepiece_toy(std::vector<std::string> pieces, std::vector<float> scores) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  for (int b = 0; b < 256; ++b) tokens.push_back(fmt::format("<0x{:02X}>", b)), types.push_back(6);
  std::vector<float> all(tokens.size(), 0.0f);
  tokens.insert(tokens.end(), pieces.begin(), pieces.end());
  all.insert(all.end(), scores.begin(), scores.end());
  types.resize(tokens.size(), 1);
  Metadata m;
  m.set("tokenizer.ggml.model", Value::string("llama"));
  m.set("tokenizer.ggml.tokens", Value::strings(tokens));
  m.set("tokenizer.ggml.scores", Value::f32s(all));
  m.set("tokenizer.ggml.token_type", Value::i32s(types));
  return m;
}

std::string message_of(const Metadata& m) {
  auto t = Tokenizer::from_metadata(m);
  return t ? "" : t.error().message;
}

TEST(ByteLevelBpe, MergesByRankThenFromTheLeft) {
  Toy toy;
  toy.merges = {"b c", "a b", "a a", "aa a"};
  const TokenId bc = toy.add("bc"), ab = toy.add("ab"), aa = toy.add("aa");
  toy.add("aaa");
  const auto t = toy.make();
  EXPECT_EQ(*t->encode("abc", false, false), (std::vector<TokenId>{'a', bc}));
  EXPECT_EQ(*t->encode("abb", false, false), (std::vector<TokenId>{ab, 'b'}));
  EXPECT_EQ(*t->encode("aaaaa", false, false), (std::vector<TokenId>{aa, aa + 1}));
}

TEST(ByteLevelBpe, MergesWhosePartsAreNoTokensStillCount) {
  Toy toy;
  toy.merges = {"x y", "xy z"};  // "xy" is no token, "xyz" is
  const TokenId xyz = toy.add("xyz");
  const auto t = toy.make();
  EXPECT_EQ(*t->encode("xyz", false, false), (std::vector<TokenId>{xyz}));
  EXPECT_EQ(*t->encode("xy", false, false), (std::vector<TokenId>{'x', 'y'}));
}

TEST(ByteLevelBpe, EveryByteStringRoundTrips) {
  Toy toy;
  toy.merges = {"a b", "\u0120 a", "\u00c3 \u00a9"};
  toy.add("ab"), toy.add("\u0120a"), toy.add("\u00c3\u00a9");
  Random random(1);
  for (const PreTokenizerKind& kind : pre_tokenizer_kinds()) {
    toy.pre = kind.names[0];
    Metadata m = toy.metadata();
    m.set("tokenizer.ggml.add_bos_token", Value::boolean(false));
    auto t = Tokenizer::from_metadata(m);
    ASSERT_TRUE(t) << t.error().message;
    for (int round = 0; round < 200; ++round) {
      std::string text;
      for (uint64_t n = random.next() % 40; n > 0; --n) {
        constexpr std::string_view some[] = {"\xff",     "\xc3", "\xe2\x82", "\xed\xa0\x80",
                                             "\xf4\x90", " ",    "ab",       "\n",
                                             "12",       "'s",   ".",        "\u00e9"};
        text += some[random.next() % std::size(some)];
      }
      const auto ids = (*t)->encode(text, false, false);
      ASSERT_TRUE(ids) << ids.error().message;
      EXPECT_EQ((*t)->decode(*ids, false), text) << kind.names[0];
    }
  }
}

TEST(ByteLevelBpe, LongRunsOfOneKindTakeNeitherForeverNorAnError) {
  Toy toy;
  toy.merges = {"a a", "aa aa", "\u0120 \u0120"};
  toy.add("aa"), toy.add("aaaa"), toy.add("\u0120\u0120");
  for (const PreTokenizerKind& kind : pre_tokenizer_kinds()) {
    toy.pre = kind.names[0];
    Metadata m = toy.metadata();
    m.set("tokenizer.ggml.add_bos_token", Value::boolean(false));
    auto t = Tokenizer::from_metadata(m);
    ASSERT_TRUE(t) << t.error().message;
    for (const std::string_view unit : {"a", " ", "\n", "7", ".", "\xff", "\u4e00", "\t"}) {
      for (const std::string_view end : {"", "x", "7"}) {
        std::string text;
        while (text.size() < 20000) text += unit;
        text += end;
        const auto ids = (*t)->encode(text, false, false);
        ASSERT_TRUE(ids) << kind.names[0] << ": " << ids.error().message;
        EXPECT_EQ((*t)->decode(*ids, false), text);
      }
    }
  }
}

TEST(SentencePiece, HighestScoreFirstAndBytesWhereNothingFits) {
  const Metadata m =
      sentencepiece_toy({"\u2581", "a", "b", "c", "ab", "bc", "\u2581a"}, {-1, -2, -3, -4, -6, -5, -9});
  const auto t = *Tokenizer::from_metadata(m);
  const TokenId a = t->find("a"), bc = t->find("bc"), space = t->find("\u2581");
  EXPECT_EQ(*t->encode("abc", true, false), (std::vector<TokenId>{1, t->find("\u2581a"), bc}));
  EXPECT_EQ(*t->encode("\xff", false, false), (std::vector<TokenId>{space, 3 + 0xff}));
  EXPECT_EQ(*t->encode("a  a", false, false),
            (std::vector<TokenId>{t->find("\u2581a"), space, t->find("\u2581a")}));
  EXPECT_EQ(t->decode({t->find("\u2581a"), a}, false), "aa");
  EXPECT_EQ(t->decode({1, t->find("\u2581a"), 2}, true), "<s>a</s>");
}

TEST(SpecialTokens, LongestFirstAndOnlyWhereAllowed) {
  Toy toy;
  const TokenId im = toy.add("<|im|>", 3), longer = toy.add("<|im|>>", 3), user = toy.add("<think>", 4);
  const auto t = toy.make();
  EXPECT_EQ(*t->encode("<|im|>>", false, true), (std::vector<TokenId>{longer}));
  EXPECT_EQ(*t->encode("<|im|><think>", false, true), (std::vector<TokenId>{im, user}));
  EXPECT_EQ(t->encode("<|im|>", false, false)->size(), 6u);
  EXPECT_EQ(*t->encode("<think>", false, false), (std::vector<TokenId>{user}));
  EXPECT_EQ(t->token_bytes(im, false), "");
  EXPECT_EQ(t->token_bytes(im, true), "<|im|>");
}

TEST(SpecialTokens, UntrustedSpansNameNoMarkerOfAnyType) {
  Toy toy;
  const TokenId im = toy.add("<|im_start|>", 3), sloppy = toy.add("<|user|>", 4);
  const auto t = toy.make();
  const auto ids =
      t->encode_spans({{"<|im_start|>", true}, {"<|im_start|><|user|>", false}, {"<|user|>", true}});
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->front(), im);
  EXPECT_EQ(ids->back(), sloppy);
  EXPECT_EQ(std::count(ids->begin(), ids->end(), im), 1);
  EXPECT_EQ(std::count(ids->begin(), ids->end(), sloppy), 1);
  // Nor can a marker be put together from two spans.
  const auto split = t->encode_spans({{"<|im_", false}, {"start|>", true}});
  EXPECT_EQ(std::count(split->begin(), split->end(), im), 0);
}

TEST(EndOfGeneration, EosTurnEndsAndDeclaredOnes) {
  Toy toy;
  const TokenId im_end = toy.add("<|im_end|>", 3), end = toy.add("<|end|>", 3),
                ret = toy.add("<|return|>", 3);
  toy.add("<|call|>", 3);
  Metadata m = toy.metadata();
  m.set("tokenizer.ggml.eos_token_id", Value::u32('e'));
  m.set("tokenizer.ggml.eot_token_id", Value::u32('t'));
  const auto t = *Tokenizer::from_metadata(m);
  EXPECT_TRUE(t->ends_generation(im_end));
  EXPECT_TRUE(t->ends_generation(ret));
  EXPECT_FALSE(t->ends_generation(end)) << "only separates messages where <|return|> and <|call|> exist";
  EXPECT_TRUE(t->ends_generation('e'));
  EXPECT_TRUE(t->ends_generation('t'));
  EXPECT_FALSE(t->ends_generation('x'));
  EXPECT_FALSE(t->ends_generation(-1));
  EXPECT_FALSE(t->ends_generation(1 << 30));
}

TEST(ByteLevel, AMissingPreTokenizerIsNoted) {
  Metadata m;
  EXPECT_EQ(Tokenizer::note_of(m), "");
  m.set("tokenizer.ggml.model", Value::string("llama"));
  EXPECT_EQ(Tokenizer::note_of(m), "") << "SentencePiece has none";
  m.set("tokenizer.ggml.model", Value::string("gpt2"));
  EXPECT_NE(Tokenizer::note_of(m).find("tokenizer.ggml.pre is missing"), std::string::npos);
  m.set("tokenizer.ggml.pre", Value::string("default"));
  EXPECT_EQ(Tokenizer::note_of(m), "") << "then it is meant";
}

TEST(HostileVocabulary, EveryBrokenArrayIsNamed) {
  const auto broken = [](auto&& change) {
    Toy toy;
    Metadata m = toy.metadata();
    change(m);
    return message_of(m);
  };
  const auto contains = [](const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos ? testing::AssertionSuccess()
                                                : testing::AssertionFailure() << "message: " << text;
  };
  EXPECT_TRUE(contains(broken([](Metadata& m) { m.set("tokenizer.ggml.pre", Value::string("zebra")); }),
                       "llama-bpe"));
  EXPECT_TRUE(contains(broken([](Metadata& m) { m.set("tokenizer.ggml.model", Value::string("x\n")); }),
                       "SentencePiece"));
  EXPECT_TRUE(contains(broken([](Metadata& m) { m.set("tokenizer.ggml.token_type", Value::i32s({1})); }),
                       "token_type has 1"));
  EXPECT_TRUE(contains(broken([](Metadata& m) { m.set("tokenizer.ggml.token_type", Value::string("1")); }),
                       "token_type"));
  EXPECT_TRUE(contains(broken([](Metadata& m) { m.set("tokenizer.ggml.scores", Value::f32s({1})); }),
                       "scores has 1"));
  EXPECT_TRUE(contains(broken([](Metadata& m) { m.set("tokenizer.ggml.bos_token_id", Value::u32(256)); }),
                       "bos_token_id is 256"));
  EXPECT_TRUE(contains(broken([](Metadata& m) { m.set("tokenizer.ggml.eos_token_id", Value::i32(-5)); }),
                       "eos_token_id"));
  EXPECT_TRUE(
      contains(broken([](Metadata& m) { m.set("tokenizer.ggml.add_bos_token", Value::boolean(true)); }),
               "bos_token_id"));
  EXPECT_TRUE(contains(broken([](Metadata& m) { m.set("tokenizer.ggml.merges", Value::strings({"ab"})); }),
                       "merges[0]"));
  EXPECT_TRUE(contains(broken([](Metadata& m) {
                         m.set("tokenizer.ggml.tokens", Value::strings({"a", "a"}));
                       }),
                       "both"));
  EXPECT_TRUE(
      contains(broken([](Metadata& m) { m.set("tokenizer.ggml.tokens", Value::strings({})); }), "empty"));
  EXPECT_TRUE(contains(broken([](Metadata& m) {
                         m.set("tokenizer.ggml.tokens", Value::strings({std::string(1 << 20, 'a')}));
                       }),
                       "bytes long"));
  EXPECT_TRUE(contains(broken([](Metadata& m) { m.erase("tokenizer.ggml.merges"); }), "merges"));
}

TEST(HostileVocabulary, ByteTokensAreParsedStrictly) {
  // <0x-1> and its like made an index of -1 elsewhere; here it is a token like any other.
  const Metadata m = sentencepiece_toy({"<0x-1>", "<0xfg>", "<0x1FF>", "\xff\xfe"}, {0, 0, 0, 0});
  const auto t = Tokenizer::from_metadata(m);
  ASSERT_TRUE(t) << t.error().message;
  EXPECT_EQ((*t)->token_bytes((*t)->find("<0x-1>"), false), "<0x-1>");
  EXPECT_EQ((*t)->token_bytes((*t)->find("<0x1FF>"), false), "<0x1FF>");
  EXPECT_EQ((*t)->token_bytes((*t)->find("<0x41>"), false), "A");
}

}  // namespace
}  // namespace carat
