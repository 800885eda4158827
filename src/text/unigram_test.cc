// SentencePiece's unigram model on vocabularies small enough to reckon by hand, its table of characters, and
// tables that lie. Agreement with the sentencepiece package is tools/oracle_tokenizers.py's business.
#include <gtest/gtest.h>

#include "base/random.h"
#include "text/charsmap.h"
#include "text/tokenizer.h"

namespace carat {
namespace {

void put_word(std::string& out, uint32_t word) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(word >> shift & 0xff));
}

/// A double array of 256 entries and a few more that maps single bytes to strings.
std::string blob_of(const std::vector<std::pair<char, std::string>>& map) {
  constexpr uint32_t base = 256;
  std::vector<uint32_t> units(base * 2 + 256, 0);
  std::string replacements;
  units[0] = base << 10;
  uint32_t value = base * 2;
  for (const auto& [from, to] : map) {
    const auto byte = static_cast<uint8_t>(from);
    const uint32_t node = base ^ byte;
    units[node] = byte | 1u << 8 | (node ^ value) << 10;
    units[value++] = 0x80000000u | static_cast<uint32_t>(replacements.size());
    replacements += to;
    replacements.push_back('\0');
  }
  std::string blob;
  put_word(blob, static_cast<uint32_t>(units.size() * 4));
  for (const uint32_t unit : units) put_word(blob, unit);
  return blob + replacements;
}

struct Toy {
  std::vector<std::string> tokens = {"<pad>", "</s>", "<unk>"};
  std::vector<float> scores = {0, 0, 0};
  std::vector<int32_t> types = {3, 3, 2};
  Metadata more;

  void add(const std::string& text, float score, int32_t type = 1) {
    tokens.push_back(text), scores.push_back(score), types.push_back(type);
  }
  void set_charsmap(const std::string& blob, ValueType element = ValueType::u8) {
    Array array;
    array.element = element;
    for (const char c : blob) {
      if (element == ValueType::u8)
        array.unsigneds.push_back(static_cast<uint8_t>(c));
      else
        array.signeds.push_back(static_cast<int8_t>(c));
    }
    more.set("tokenizer.ggml.precompiled_charsmap", {ValueType::array, std::move(array)});
  }
  Metadata metadata() const {
    Metadata m = more;
    m.set("tokenizer.ggml.model", Value::string("t5"));
    m.set("tokenizer.ggml.tokens", Value::strings(tokens));
    m.set("tokenizer.ggml.scores", Value::f32s(scores));
    m.set("tokenizer.ggml.token_type", Value::i32s(types));
    return m;
  }
  std::shared_ptr<const Tokenizer> make() const {
    auto t = Tokenizer::from_metadata(metadata());
    EXPECT_TRUE(t) << t.error().message;
    return t ? *t : nullptr;
  }
  std::vector<std::string> cut(const std::string& text) const {
    const auto t = make();
    std::vector<std::string> out;
    const auto ids = t->encode(text, false, false);
    EXPECT_TRUE(ids) << ids.error().message;
    for (const TokenId id : *ids) out.push_back(tokens[static_cast<size_t>(id)]);
    return out;
  }
};

using Cut = std::vector<std::string>;

Toy small() {
  Toy toy;
  toy.add("\u2581", -2), toy.add("a", -3), toy.add("b", -3.5f), toy.add("\u2581a", -4), toy.add("ab", -5),
      toy.add("\u2581ab", -9), toy.add("ba", -7), toy.add("bab", -9.5f);
  return toy;
}

TEST(Unigram, TheLargestSumOfScoresWins) {
  const Toy toy = small();
  EXPECT_EQ(toy.cut("ab"), (Cut{"\u2581", "ab"}));        // -7 beats -9 and -7.5
  EXPECT_EQ(toy.cut("aab"), (Cut{"\u2581a", "ab"}));      // -9 beats "▁" "a" "ab" with -10
  EXPECT_EQ(toy.cut("bab"), (Cut{"\u2581", "b", "ab"}));  // -10.5 beats -11.5 and -12
  EXPECT_EQ(toy.cut("a a"), (Cut{"\u2581a", "\u2581a"}));
  EXPECT_EQ(toy.cut(""), Cut{});
}

TEST(Unigram, OfEqualSumsTheLongerLastTokenStays) {
  Toy toy;
  toy.add("\u2581", -1), toy.add("x", -2), toy.add("xx", -3);
  EXPECT_EQ(toy.cut("xxx"), (Cut{"\u2581", "x", "xx"}));
}

TEST(Unigram, UnknownCharactersAreOneTokenPerRunOrBytes) {
  Toy toy = small();
  EXPECT_EQ(toy.cut("a\u4e00\u4e01\xff\xff"
                    "b"),
            (Cut{"\u2581a", "<unk>", "b"}));
  EXPECT_EQ(toy.cut("\u4e00 \u4e01"), (Cut{"\u2581", "<unk>", "\u2581", "<unk>"}));
  for (int b = 0; b < 256; ++b) toy.add(fmt::format("<0x{:02X}>", b), 0, 6);
  EXPECT_EQ(toy.cut("\u4e00"), (Cut{"\u2581", "<0xE4>", "<0xB8>", "<0x80>"}));
}

TEST(Unigram, WhiteSpaceAsTheModelWantsIt) {
  Toy toy = small();
  EXPECT_EQ(toy.cut("  a "), (Cut{"\u2581", "\u2581", "\u2581a", "\u2581"}));
  toy.more.set("tokenizer.ggml.remove_extra_whitespaces", Value::boolean(true));
  EXPECT_EQ(toy.cut("  a   a "), (Cut{"\u2581a", "\u2581a"}));
  EXPECT_EQ(toy.cut("   "), Cut{});
  toy.more.set("tokenizer.ggml.add_space_prefix", Value::boolean(false));
  EXPECT_EQ(toy.cut("  a"), (Cut{"a"}));
}

TEST(Unigram, EndOfSequenceIsAddedUnlessTheFileSaysNo) {
  Toy toy = small();
  EXPECT_EQ(toy.make()->encode("a", true, false)->back(), 1);
  toy.more.set("tokenizer.ggml.add_eos_token", Value::boolean(false));
  EXPECT_NE(toy.make()->encode("a", true, false)->back(), 1);
}

TEST(Unigram, CharactersAreMappedFirst) {
  for (const ValueType element : {ValueType::u8, ValueType::i8}) {
    Toy toy = small();
    toy.set_charsmap(blob_of({{'A', "a"}, {'\t', " "}, {'-', ""}, {'W', "ab"}}), element);
    EXPECT_EQ(toy.cut("A\tA"), (Cut{"\u2581a", "\u2581a"}));
    EXPECT_EQ(toy.cut("a-W"), (Cut{"\u2581a", "ab"}));
    EXPECT_EQ(toy.cut("---"), (Cut{"\u2581"}));
    EXPECT_EQ(toy.cut(std::string("a\0"
                                  "b",
                                  3)),
              (Cut{"\u2581a", "<unk>", "b"}));
  }
}

TEST(Unigram, LongTextsTakeNeitherForeverNorAnError) {
  Toy toy = small();
  toy.add(std::string(300, 'a'), -20);
  const auto t = toy.make();
  for (const std::string_view unit : {"a", "ab", " ", "\xff", "\u4e00"}) {
    std::string text;
    while (text.size() < 200000) text += unit;
    const auto ids = t->encode(text, false, false);
    ASSERT_TRUE(ids);
    EXPECT_FALSE(ids->empty());
  }
}

TEST(Charsmap, LiesAboutSizesAndPlacesAreErrors) {
  const std::string good = blob_of({{'A', "a"}, {'B', "bb"}});
  EXPECT_TRUE(Charsmap::parse("").ok());
  ASSERT_TRUE(Charsmap::parse(good).ok());
  EXPECT_EQ(Charsmap::parse(good)->longest_at("xB", 1).replacement, "bb");
  EXPECT_EQ(Charsmap::parse(good)->longest_at("xB", 0).length, 0u);

  const auto refused = [](std::string blob, size_t at, uint32_t word) {
    std::string bytes;
    put_word(bytes, word);
    blob.replace(at, 4, bytes);
    return !Charsmap::parse(blob).ok();
  };
  for (const uint32_t size : {0u, 3u, static_cast<uint32_t>(good.size() - 4), 0x80000000u, 0xffffffffu})
    EXPECT_TRUE(refused(good, 0, size)) << size;
  EXPECT_TRUE(refused(good, 4 + 4 * (256 ^ 'A'), 'A' | 1u << 8 | 0x1fffffu << 10)) << "a child past the end";
  EXPECT_TRUE(refused(good, 4 + 4 * 512, 0x80000000u | 1000)) << "a replacement past the end";
  EXPECT_FALSE(Charsmap::parse(good.substr(0, good.size() - 1)).ok()) << "the last one does not end";
  EXPECT_FALSE(Charsmap::parse(good.substr(0, 7)).ok());
  EXPECT_FALSE(Charsmap::parse(blob_of({{'A', std::string(5000, 'x')}})).ok());

  // Whatever is taken can be searched.
  Random random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string blob = good;
    for (int i = 0; i < 20; ++i)
      blob[4 + random.next() % (blob.size() - 4)] = static_cast<char>(random.next());
    const auto map = Charsmap::parse(blob);
    if (!map) continue;
    for (int byte = 0; byte < 256; ++byte) {
      const std::string text(100, static_cast<char>(byte));
      EXPECT_LE(map->longest_at(text, 0).length, 64u);
    }
  }
}

TEST(Unigram, BrokenMetadataAreNamed) {
  const auto message = [](auto&& change) {
    Toy toy = small();
    Metadata m = toy.metadata();
    change(m);
    const auto t = Tokenizer::from_metadata(m);
    return t ? std::string{} : t.error().message;
  };
  EXPECT_NE(message([](Metadata& m) { m.erase("tokenizer.ggml.scores"); }).find("scores"), std::string::npos);
  EXPECT_NE(message([](Metadata& m) { m.set("tokenizer.ggml.tokens", Value::strings({})); }).find("empty"),
            std::string::npos);
  EXPECT_NE(message([](Metadata& m) {
              m.set("tokenizer.ggml.precompiled_charsmap", Value::string("x"));
            }).find("precompiled_charsmap"),
            std::string::npos);
  EXPECT_NE(message([](Metadata& m) {
              Array bytes;
              bytes.element = ValueType::u8;
              bytes.unsigneds.assign(9, 255);
              m.set("tokenizer.ggml.precompiled_charsmap", {ValueType::array, bytes});
            }).find("precompiled_charsmap"),
            std::string::npos);
  EXPECT_NE(message([](Metadata& m) {
              std::vector<float> scores(11, 0);
              scores[5] = std::numeric_limits<float>::infinity();
              m.set("tokenizer.ggml.scores", Value::f32s(scores));
            }).find("scores[5]"),
            std::string::npos);
}

}  // namespace
}  // namespace carat
