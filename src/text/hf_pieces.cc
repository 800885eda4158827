// tokenizer.json of type WordPiece and Unigram. The normalizers and pre-tokenizers that Hugging Face's
// converters give BERT and SentencePiece models are recognised; others would cut text differently without
// anyone noticing, so they are refused.
#include <cmath>

#include "text/base64.h"
#include "text/hf_building.h"
#include "text/hf_pre_tokenizer.h"
#include "text/sentencepiece_text.h"

namespace carat {
namespace {

Error unknown_normalizer(const json::value& normalizer, std::string_view kind) {
  return bad_data("tokenizer.json: carat does not know the normalizer {} before {}",
                  quote(json::serialize(normalizer)), kind);
}

Status read_bert_normalizer(const json::value& tokenizer, Metadata& out) {
  std::vector<const json::value*> normalizers;
  CARAT_DO(collect_normalizers(json_find(tokenizer, "normalizer"), 0, normalizers));
  if (normalizers.size() != 1) return bad_data("tokenizer.json: WordPiece without a BertNormalizer alone");
  const json::value& n = *normalizers[0];
  if (text_of(json_find(n, "type")) != "BertNormalizer" || !flag_of(n, "clean_text", true) ||
      !flag_of(n, "handle_chinese_chars", true)) {
    return unknown_normalizer(n, "WordPiece");
  }
  const bool lowercase = flag_of(n, "lowercase", true);
  out.set("tokenizer.ggml.normalizer.lowercase", Value::boolean(lowercase));
  out.set("tokenizer.ggml.normalizer.strip_accents", Value::boolean(flag_of(n, "strip_accents", lowercase)));
  const json::value* pre = json_find(tokenizer, "pre_tokenizer");
  if (!pre || text_of(json_find(*pre, "type")) != "BertPreTokenizer")
    return unknown_pre_tokenizer(pre ? quote(json::serialize(*pre)) : "it has no pre_tokenizer");
  return {};
}

struct UnigramSpaces {
  std::string charsmap;
  bool add_space = false, merge = false;
};

/// The table of characters first; then, as transformers' converters or carat write it, what becomes of
/// spaces.
Status read_unigram_normalizers(const json::value& tokenizer, UnigramSpaces& spaces) {
  std::vector<const json::value*> normalizers;
  CARAT_DO(collect_normalizers(json_find(tokenizer, "normalizer"), 0, normalizers));
  for (const json::value* n : normalizers) {
    const auto type = text_of(json_find(*n, "type")), content = text_of(json_find(*n, "content"));
    const json::value* pattern = json_find(*n, "pattern");
    const auto regex = pattern ? text_of(json_find(*pattern, "Regex")) : std::nullopt;
    const auto text = pattern ? text_of(json_find(*pattern, "String")) : std::nullopt;
    const bool to_space = content == " " || content == visible_space;
    if (type == "Precompiled" && n == normalizers.front()) {
      const auto decoded = from_base64(text_of(json_find(*n, "precompiled_charsmap")).value_or(""));
      if (!decoded) return bad_data("tokenizer.json: the normalizer's precompiled_charsmap is no Base64");
      spaces.charsmap = *decoded;
    } else if (type == "Replace" && regex == spaces_in_a_row && to_space) {
      spaces.merge = true;
    } else if (type == "Prepend" && text_of(json_find(*n, "prepend")) == visible_space) {
      spaces.add_space = true;
    } else {
      const bool strips = type == "Strip" && flag_of(*n, "strip_right", false);
      const bool ends = type == "Replace" && regex == spaces_at_ends && content == "";
      const bool shows = type == "Replace" && text == " " && content == visible_space;
      if (!strips && !ends && !shows) return unknown_normalizer(*n, "Unigram");
    }
  }
  return {};
}

Status read_unigram_cut(const json::value& node, int depth, UnigramSpaces& spaces) {
  const auto type = text_of(json_find(node, "type"));
  if (depth > 4) return unknown_pre_tokenizer("sequences within sequences");
  if (type == "Sequence") {
    const json::array* parts = json_array(json_find(node, "pretokenizers"));
    if (!parts) return bad_data("tokenizer.json: a pre_tokenizer of type Sequence has no pretokenizers");
    for (const json::value& part : *parts) CARAT_DO(read_unigram_cut(part, depth + 1, spaces));
    return {};
  }
  if (type == "Metaspace" &&
      text_of(json_find(node, "replacement")).value_or(std::string(visible_space)) == visible_space) {
    const auto scheme = text_of(json_find(node, "prepend_scheme"));
    spaces.add_space = scheme ? *scheme != "never" : flag_of(node, "add_prefix_space", true);
    return {};
  }
  // The table of characters has made spaces of all white space before.
  if (type == "WhitespaceSplit" && !spaces.charsmap.empty()) {
    spaces.merge = true;
    return {};
  }
  return unknown_pre_tokenizer(quote(json::serialize(node)));
}

}  // namespace

Status read_word_piece(const json::value& tokenizer, const json::value& model, Building& v, Metadata& out) {
  const std::string prefix = text_of(json_find(model, "continuing_subword_prefix")).value_or("##");
  if (prefix.empty()) return bad_data("tokenizer.json: model.continuing_subword_prefix is empty");
  if (const auto most = id_of(json_find(model, "max_input_chars_per_word")); most.value_or(100) != 100) {
    return bad_data(
        "tokenizer.json: model.max_input_chars_per_word is {}, but GGUF cannot hold other than 100", *most);
  }
  CARAT_DO(read_bert_normalizer(tokenizer, out));
  CARAT_DO(put_vocabulary(model, v));
  const auto unknown = text_of(json_find(model, "unk_token"));
  for (size_t id = 0; id < v.texts.size(); ++id) {
    if (!v.present[id]) continue;
    std::string& text = v.texts[id];
    if (text == unknown) {
      out.set("tokenizer.ggml.unknown_token_id", Value::u32(static_cast<uint32_t>(id)));
      v.types[id] = static_cast<int32_t>(TokenType::unknown);
    } else if (text.starts_with(prefix) && text.size() > prefix.size()) {
      text.erase(0, prefix.size());
    } else {
      text.insert(0, visible_space);
    }
  }
  out.set("tokenizer.ggml.model", Value::string("bert"));
  return put_added_tokens(tokenizer, v);
}

Status read_unigram(const json::value& tokenizer, const json::value& model, Building& v, Metadata& out) {
  const json::array* vocabulary = json_array(json_find(model, "vocab"));
  if (!vocabulary) return bad_data("tokenizer.json: model.vocab is missing or no list");
  const auto unknown = id_of(json_find(model, "unk_id"));
  for (size_t id = 0; id < vocabulary->size(); ++id) {
    const json::array* pair = (*vocabulary)[id].if_array();
    const auto text = pair && pair->size() == 2 ? text_of(&(*pair)[0]) : std::nullopt;
    if (!text || !(*pair)[1].is_number())
      return bad_data("tokenizer.json: model.vocab[{}] is no pair of a text and a score", id);
    const TokenType type = unknown == id                  ? TokenType::unknown
                           : byte_token_value(*text) >= 0 ? TokenType::byte
                                                          : TokenType::normal;
    const auto score = (*pair)[1].to_number<double>();
    if (!(std::abs(score) < 1e30))
      return bad_data("tokenizer.json: the score of model.vocab[{}] is {}", id, score);
    CARAT_DO(v.put(id, *text, type, static_cast<float>(score)));
  }
  UnigramSpaces spaces;
  CARAT_DO(read_unigram_normalizers(tokenizer, spaces));
  const json::value* pre = json_find(tokenizer, "pre_tokenizer");
  if (pre && !pre->is_null()) CARAT_DO(read_unigram_cut(*pre, 0, spaces));
  if (unknown && *unknown < v.texts.size())
    out.set("tokenizer.ggml.unknown_token_id", Value::u32(static_cast<uint32_t>(*unknown)));
  set_unigram(spaces.charsmap, spaces.add_space, spaces.merge, out);
  return put_added_tokens(tokenizer, v);
}

void set_unigram(std::string_view charsmap, bool add_space, bool merge_spaces, Metadata& out) {
  out.set("tokenizer.ggml.model", Value::string("t5"));
  out.set("tokenizer.ggml.pre", Value::string("default"));
  out.set("tokenizer.ggml.add_space_prefix", Value::boolean(add_space));
  out.set("tokenizer.ggml.remove_extra_whitespaces", Value::boolean(merge_spaces));
  if (charsmap.empty()) return;
  Array bytes;
  bytes.element = ValueType::u8;
  for (const char c : charsmap) bytes.unsigneds.push_back(static_cast<uint8_t>(c));
  out.set("tokenizer.ggml.precompiled_charsmap", {ValueType::array, std::move(bytes)});
}

}  // namespace carat
