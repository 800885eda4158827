// Hugging Face's tokenizer files to metadata and back, and files made to hurt. Agreement with the tokenizers
// and sentencepiece packages is tools/oracle_text.py's business.
#include "text/hf_tokenizer.h"

#include <gtest/gtest.h>

#include "containers/json.h"
#include "text/base64.h"
#include "text/byte_alphabet.h"
#include "text/pre_tokenizer.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer.h"

namespace carat {
namespace {

json::object byte_level_json() {
  json::object vocabulary;
  int64_t id = 0;
  for (const uint16_t c : byte_alphabet) {
    std::string text;
    append_utf8(c, text);
    vocabulary[text] = id++;
  }
  vocabulary["ab"] = id++;
  vocabulary["abc"] = id++;
  vocabulary["<|end|>"] = id++;
  return {
      {"added_tokens", json::array{json::object{{"id", 258}, {"content", "<|end|>"}, {"special", true}},
                                   json::object{{"id", 259}, {"content", "<think>"}, {"special", false}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       json::object{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"post_processor", nullptr},
      {"model",
       json::object{
           {"type", "BPE"}, {"vocab", vocabulary}, {"merges", json::array{"a b", json::array{"ab", "c"}}}}}};
}

HfTokenizerFiles files_of(const json::value& tokenizer) {
  HfTokenizerFiles files;
  files.tokenizer_json = json::serialize(tokenizer);
  files.tokenizer_config_json =
      R"({"eos_token": {"content": "<|end|>"}, "chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]})";
  files.config_json = "{}";
  return files;
}

std::string message_of(const HfTokenizerFiles& files, uint64_t vocab_size = 300) {
  Metadata m;
  const Status s = add_tokenizer_metadata(files, vocab_size, m);
  return s ? "" : s.error().message;
}

TEST(HfTokenizer, ByteLevelComesAndGoes) {
  Metadata m;
  const Status s = add_tokenizer_metadata(files_of(byte_level_json()), 262, m);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_EQ(**m.string_at("tokenizer.ggml.pre"), "gpt-2");
  EXPECT_EQ((**m.strings_at("tokenizer.ggml.merges"))[1], "ab c");
  EXPECT_EQ(*m.unsigned_at("tokenizer.ggml.eos_token_id"), 258u);
  EXPECT_FALSE(*m.bool_at("tokenizer.ggml.add_bos_token"));
  const auto types = *m.integers_at("tokenizer.ggml.token_type");
  EXPECT_EQ(types[258], 3);
  EXPECT_EQ(types[259], 4);
  EXPECT_EQ(types[261], 5);
  EXPECT_EQ((**m.strings_at("tokenizer.ggml.tokens"))[261], "[PAD261]");
  EXPECT_EQ(**m.string_at("tokenizer.chat_template"), "D");
  EXPECT_EQ(**m.string_at("tokenizer.chat_template.tool_use"), "T");
  const auto t = Tokenizer::from_metadata(m);
  ASSERT_TRUE(t) << t.error().message;
  EXPECT_EQ(*(*t)->encode("abc<think><|end|>", false, true), (std::vector<TokenId>{257, 259, 258}));

  const auto written = make_hf_tokenizer_files(m);
  ASSERT_TRUE(written) << written.error().message;
  HfTokenizerFiles again;
  for (const auto& [name, text] : *written) {
    if (name == "tokenizer.json") again.tokenizer_json = text;
    if (name == "tokenizer_config.json") again.tokenizer_config_json = text;
    if (name == "special_tokens_map.json") again.special_tokens_map_json = text;
    if (name == "generation_config.json") again.generation_config_json = text;
  }
  again.config_json = "{}";
  Metadata back;
  const Status read = add_tokenizer_metadata(again, 262, back);
  ASSERT_TRUE(read) << read.error().message;
  for (const auto& [key, value] : m.entries()) {
    ASSERT_TRUE(back.has(key)) << key;
    EXPECT_EQ(*back.find(key), value) << key;
  }
}

TEST(HfTokenizer, EveryKnownCutIsRecognisedFromWhatWeWrite) {
  Metadata m;
  ASSERT_TRUE(add_tokenizer_metadata(files_of(byte_level_json()), 260, m));
  for (const PreTokenizerKind& kind : pre_tokenizer_kinds()) {
    m.set("tokenizer.ggml.pre", Value::string(std::string(kind.names[0])));
    const auto written = make_hf_tokenizer_files(m);
    ASSERT_TRUE(written) << written.error().message;
    HfTokenizerFiles files;
    files.tokenizer_json = (*written)[0].second;
    files.config_json = "{}";
    Metadata back;
    const Status s = add_tokenizer_metadata(files, 260, back);
    ASSERT_TRUE(s) << kind.names[0] << ": " << s.error().message;
    const auto found = find_pre_tokenizer(**back.string_at("tokenizer.ggml.pre"));
    EXPECT_EQ(*found, &kind) << kind.names[0];
  }
}

TEST(HfTokenizer, BosFromTheTemplateOfThePostProcessor) {
  json::object t = byte_level_json();
  t["post_processor"] =
      parse_json(R"({"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [258], "tokens": ["<|end|>"]}}}]})")
          .value();
  Metadata m;
  const Status s = add_tokenizer_metadata(files_of(t), 262, m);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_TRUE(*m.bool_at("tokenizer.ggml.add_bos_token"));
  EXPECT_EQ(*m.unsigned_at("tokenizer.ggml.bos_token_id"), 258u);
}

TEST(HfTokenizer, UnknownCutsAreNamed) {
  json::object t = byte_level_json();
  t["pre_tokenizer"] =
      parse_json(R"({"type": "Split", "pattern": {"Regex": "zebra+"}, "behavior": "Isolated"})").value();
  const std::string message = message_of(files_of(t));
  EXPECT_NE(message.find("zebra+"), std::string::npos) << message;
  EXPECT_NE(message.find("tokenizer.ggml.pre"), std::string::npos) << message;
  t = byte_level_json();
  t["normalizer"] = json::object{{"type", "Lowercase"}};
  EXPECT_NE(message_of(files_of(t)).find("Lowercase"), std::string::npos);
}

TEST(HfTokenizer, BrokenFilesAreNamed) {
  const auto changed = [](auto&& change) {
    json::object t = byte_level_json();
    change(t);
    return message_of(files_of(t));
  };
  const auto model = [](json::object& t) -> json::object& { return t["model"].as_object(); };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {changed([&](auto& t) { t.erase("model"); }), "tokenizer.json has no model"},
      {changed([&](auto& t) { model(t)["type"] = "WordLevel"; }), "WordLevel"},
      {changed([&](auto& t) { model(t)["vocab"] = "x"; }), "model.vocab"},
      {changed([&](auto& t) { model(t)["vocab"].as_object()["ab"] = -1; }), "no whole number"},
      {changed([&](auto& t) { model(t)["vocab"].as_object()["ab"] = 1ll << 40; }), "no real vocabulary"},
      {changed([&](auto& t) { model(t)["vocab"].as_object()["ab"] = 5; }), "same id 5"},
      {changed([&](auto& t) { model(t)["merges"] = json::array{1}; }), "merges[0]"},
      {changed([&](auto& t) { t["added_tokens"].as_array()[0].as_object()["id"] = 4000000; }),
       "embedding has 300 rows"},
      {changed([&](auto& t) { t["added_tokens"].as_array()[1].as_object()["content"] = "ab"; }), "twice"},
      {changed([&](auto& t) { t["added_tokens"].as_array()[1].as_object().erase("content"); }),
       "added token"},
      {changed([&](auto& t) { t.erase("pre_tokenizer"); }), "no pre_tokenizer"},
  };
  for (const auto& [message, part] : cases)
    EXPECT_NE(message.find(part), std::string::npos) << message << " lacks " << part;
  HfTokenizerFiles none;
  none.config_json = "{}";
  EXPECT_NE(message_of(none).find("neither"), std::string::npos);
  HfTokenizerFiles garbage;
  garbage.tokenizer_json = std::string(100000, '[');
  garbage.config_json = "{}";
  EXPECT_NE(message_of(garbage).find("tokenizer.json"), std::string::npos);
}

json::value word_piece_json() {
  return parse_json(R"({"added_tokens": [{"id": 0, "content": "[UNK]", "special": true},
      {"id": 1, "content": "[CLS]", "special": true}, {"id": 2, "content": "[SEP]", "special": true}],
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                   "strip_accents": null, "lowercase": false},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "##b": 4, "##": 5}}})")
      .value();
}

json::value unigram_json() {
  return parse_json(R"({"added_tokens": [{"id": 1, "content": "</s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [
      {"type": "Strip", "strip_left": false, "strip_right": true},
      {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]},
    "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"},
    "post_processor": null,
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["</s>", 0], ["\u2581", -2.5], ["a", -3],
              ["\u2581a", -4.25]]}})")
      .value();
}

/// What is written of `m` and read again is `m`.
void expect_round_trip(const Metadata& m) {
  const auto written = make_hf_tokenizer_files(m);
  ASSERT_TRUE(written) << written.error().message;
  HfTokenizerFiles again;
  again.tokenizer_json = (*written)[0].second;
  again.tokenizer_config_json = (*written)[1].second;
  again.config_json = "{}";
  Metadata back;
  const Status read = add_tokenizer_metadata(again, 0, back);
  ASSERT_TRUE(read) << read.error().message;
  for (const auto& [key, value] : m.entries()) {
    ASSERT_TRUE(back.has(key)) << key;
    EXPECT_EQ(*back.find(key), value) << key;
  }
}

TEST(HfTokenizer, WordPieceComesAndGoes) {
  Metadata m;
  HfTokenizerFiles files;
  files.tokenizer_json = json::serialize(word_piece_json());
  files.config_json = "{}";
  const Status s = add_tokenizer_metadata(files, 0, m);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_EQ(**m.strings_at("tokenizer.ggml.tokens"),
            (std::vector<std::string>{"[UNK]", "[CLS]", "[SEP]", "\u2581a", "b", "\u2581##"}));
  EXPECT_EQ(*m.unsigned_at("tokenizer.ggml.seperator_token_id"), 2u);
  const auto t = Tokenizer::from_metadata(m);
  ASSERT_TRUE(t) << t.error().message;
  EXPECT_EQ(*(*t)->encode("abb A", true, false), (std::vector<TokenId>{1, 3, 4, 4, 0, 2}));
  expect_round_trip(m);
}

TEST(HfTokenizer, UnigramComesAndGoes) {
  Metadata m;
  HfTokenizerFiles files;
  files.tokenizer_json = json::serialize(unigram_json());
  files.tokenizer_config_json = R"({"eos_token": "</s>"})";
  files.config_json = "{}";
  const Status s = add_tokenizer_metadata(files, 0, m);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_TRUE(*m.bool_at("tokenizer.ggml.remove_extra_whitespaces"));
  EXPECT_FALSE(*m.bool_at("tokenizer.ggml.add_eos_token"));
  const auto t = Tokenizer::from_metadata(m);
  ASSERT_TRUE(t) << t.error().message;
  EXPECT_EQ(*(*t)->encode("  aa  a ", true, false), (std::vector<TokenId>{4, 3, 4}));
  expect_round_trip(m);
}

TEST(HfTokenizer, WhatCutsOtherwiseIsRefused) {
  const auto changed = [](json::value t, std::string_view key, std::string_view text) {
    t.as_object()[key] = parse_json(text).value();
    return message_of(files_of(t));
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {changed(word_piece_json(), "normalizer", "null"), "BertNormalizer"},
      {changed(word_piece_json(), "normalizer", R"({"type": "Lowercase"})"), "Lowercase"},
      {changed(word_piece_json(), "normalizer", R"({"type": "BertNormalizer", "clean_text": false})"),
       "clean_text"},
      {changed(word_piece_json(), "pre_tokenizer", R"({"type": "Whitespace"})"), "Whitespace"},
      {changed(word_piece_json(), "model",
               R"({"type": "WordPiece", "vocab": {}, "max_input_chars_per_word": 7})"),
       "max_input_chars_per_word is 7"},
      {changed(unigram_json(), "normalizer", R"({"type": "NFKC"})"), "NFKC"},
      {changed(unigram_json(), "normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "?"})"),
       "no Base64"},
      {changed(unigram_json(), "pre_tokenizer", R"({"type": "WhitespaceSplit"})"), "WhitespaceSplit"},
      {changed(unigram_json(), "model", R"({"type": "Unigram", "vocab": [["a"]]})"), "vocab[0]"},
      {changed(unigram_json(), "model", R"({"type": "Unigram", "vocab": [["a", 1e40]]})"), "vocab[0]"},
      {changed(unigram_json(), "model", R"({"type": "Unigram", "vocab": {"a": 1}})"), "no list"},
  };
  for (const auto& [message, part] : cases)
    EXPECT_NE(message.find(part), std::string::npos) << message << " lacks " << part;
}

TEST(Base64, ComesAndGoes) {
  for (const std::string bytes : {"", "a", "ab", "abc", "\xff\xfe\x00z"}) {
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
  }
  EXPECT_EQ(to_base64("carat"), "Y2FyYXQ=");
  EXPECT_FALSE(from_base64("abcde"));
  EXPECT_FALSE(from_base64("ab!d"));
}

// --- tokenizer.model ---

void put_varint(std::string& out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) out.push_back(static_cast<char>(v | 0x80));
  out.push_back(static_cast<char>(v));
}
void put_bytes(std::string& out, uint64_t field, std::string_view bytes) {
  put_varint(out, field << 3 | 2);
  put_varint(out, bytes.size());
  out.append(bytes);
}
void put_integer(std::string& out, uint64_t field, uint64_t v) {
  put_varint(out, field << 3);
  put_varint(out, v);
}
void put_piece(std::string& out, std::string_view text, float score, uint64_t type) {
  std::string piece;
  put_bytes(piece, 1, text);
  put_varint(piece, 2 << 3 | 5);
  piece.append(reinterpret_cast<const char*>(&score), 4);
  put_integer(piece, 3, type);
  put_bytes(out, 1, piece);
}
std::string small_model(uint64_t model_type = 2) {
  std::string out, trainer;
  put_piece(out, "<unk>", 0, 2), put_piece(out, "<s>", 0, 3), put_piece(out, "</s>", 0, 3);
  for (int b = 0; b < 256; ++b) put_piece(out, fmt::format("<0x{:02X}>", b), 0, 6);
  put_piece(out, "\xe2\x96\x81", -1, 1), put_piece(out, "a", -2, 1),
      put_piece(out,
                "\xe2\x96\x81"
                "a",
                -3, 1);
  put_integer(trainer, 3, model_type);
  put_integer(trainer, 43, static_cast<uint64_t>(-1));
  put_bytes(out, 2, trainer);
  return out;
}

TEST(SentencePieceModel, ReadsAndTokenizes) {
  HfTokenizerFiles files;
  files.tokenizer_model = small_model();
  files.config_json = R"({"bos_token_id": 1})";
  Metadata m;
  const Status s = add_tokenizer_metadata(files, 0, m);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_FALSE(m.has("tokenizer.ggml.padding_token_id"));
  const auto t = Tokenizer::from_metadata(m);
  ASSERT_TRUE(t) << t.error().message;
  EXPECT_EQ(*(*t)->encode("a a!", true, false), (std::vector<TokenId>{1, 261, 261, 3 + '!'}));
  const auto written = make_hf_tokenizer_files(m);
  ASSERT_TRUE(written) << written.error().message;
  HfTokenizerFiles again;
  again.tokenizer_json = (*written)[0].second;
  again.tokenizer_config_json = (*written)[1].second;
  again.config_json = "{}";
  Metadata back;
  const Status read = add_tokenizer_metadata(again, 0, back);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*(*Tokenizer::from_metadata(back))->encode("a a!", true, false),
            (std::vector<TokenId>{1, 261, 261, 3 + '!'}));
}

TEST(SentencePieceModel, HostileBytesEndInAnError) {
  const std::string whole = small_model();
  for (size_t cut = 0; cut < whole.size(); cut += 7) {
    const auto model = read_sentencepiece_model(std::string_view(whole).substr(0, cut));
    EXPECT_TRUE(model.ok() || model.error().message.find("tokenizer.model") != std::string::npos) << cut;
  }
  EXPECT_FALSE(read_sentencepiece_model("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
  EXPECT_FALSE(read_sentencepiece_model(std::string(1000, '\xff')));
  EXPECT_FALSE(read_sentencepiece_model("\x0b"));  // a group, which no version of the format has
  HfTokenizerFiles files;
  files.tokenizer_model = small_model(3);
  files.config_json = "{}";
  EXPECT_NE(message_of(files).find("BPE"), std::string::npos);
}

}  // namespace
}  // namespace carat
