#include "text/vocabulary.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "containers/quote.h"

namespace carat {
namespace {

// Real vocabularies stay below 300,000 tokens of at most some hundred bytes. The limits keep the index of a
// hostile one within memory, and the search for control tokens in a text linear.
constexpr size_t max_tokens = size_t{1} << 22;
constexpr size_t max_token_bytes = 16384;

constexpr std::string_view turn_ends[] = {"<|eot_id|>",
                                          "<|im_end|>",
                                          "<|end|>",
                                          "<end_of_turn>",
                                          "<|endoftext|>",
                                          "<|eom_id|>",
                                          "<EOT>",
                                          "_<EOT>",
                                          "[EOT]",
                                          "[EOS]",
                                          "<|end_of_text|>",
                                          "<end_of_utterance>",
                                          "</s>",
                                          "<eos>",
                                          "<turn|>",
                                          "<|return|>",
                                          "<|call|>",
                                          "<|flush|>",
                                          "<|calls|>",
                                          "<|tool_response>",
                                          "<｜end▁of▁sentence｜>"};

Result<TokenId> read_id(const Metadata& metadata, std::string_view key, TokenId fallback, size_t size) {
  if (!metadata.has(key))
    return fallback >= 0 && static_cast<size_t>(fallback) < size ? fallback : TokenId{-1};
  CARAT_TRY(const uint64_t id, metadata.unsigned_at(key));
  // Converters write 2^32 - 1 for "none".
  if (id == 0xffffffffu) return TokenId{-1};
  if (id >= size) return bad_data("{} is {}, but the vocabulary has {} tokens", key, id, size);
  return static_cast<TokenId>(id);
}

/// <|end|> only separates messages where <|return|> and <|call|> end the turn (harmony); </s> is ordinary
/// text where <|tool_response> exists (Gemma 4).
void drop_inner_ends(Vocabulary& v) {
  const auto has = [&](std::string_view text) { return v.texts.find(text) >= 0; };
  const auto drop = [&](std::string_view text) {
    const int32_t id = v.texts.find(text);
    if (id >= 0 && id != v.eos) v.ends_generation[static_cast<size_t>(id)] = false;
  };
  const bool calls = has("<|call|>") || has("<|calls|>");
  if ((has("<|return|>") && calls) || (calls && has("<|flush|>"))) drop("<|end|>");
  if (has("<|tool_response>")) drop("</s>");
}

Status read_texts(const Metadata& metadata, Vocabulary& v) {
  CARAT_TRY(const auto* tokens, metadata.strings_at("tokenizer.ggml.tokens"));
  if (tokens->empty()) return bad_data("tokenizer.ggml.tokens is empty");
  if (tokens->size() > max_tokens) {
    return bad_data("tokenizer.ggml.tokens has {} entries, more than the {} carat takes", tokens->size(),
                    max_tokens);
  }
  v.texts.reserve(tokens->size());
  for (size_t id = 0; id < tokens->size(); ++id) {
    const std::string& text = (*tokens)[id];
    if (text.size() > max_token_bytes) {
      return bad_data("tokenizer.ggml.tokens[{}] is {} bytes long, more than {}", id, text.size(),
                      max_token_bytes);
    }
    const auto [other, fresh] = v.texts.insert(text.empty() ? fmt::format("[EMPTY_{}]", id) : text);
    if (!fresh) return bad_data("tokenizer.ggml.tokens[{}] and [{}] are both {}", other, id, quote(text));
  }
  return {};
}

Status read_types(const Metadata& metadata, Vocabulary& v) {
  v.types.assign(v.texts.size(), TokenType::normal);
  if (!metadata.has("tokenizer.ggml.token_type")) return {};
  CARAT_TRY(const auto types, metadata.integers_at("tokenizer.ggml.token_type"));
  if (types.size() != v.types.size()) {
    return bad_data("tokenizer.ggml.token_type has {} entries for {} tokens", types.size(), v.types.size());
  }
  for (size_t id = 0; id < types.size(); ++id) {
    if (types[id] < 0 || types[id] > 6)
      return bad_data("tokenizer.ggml.token_type[{}] is {}, not 0 to 6", id, types[id]);
    v.types[id] = static_cast<TokenType>(types[id]);
  }
  return {};
}

Status read_scores(const Metadata& metadata, Vocabulary& v) {
  if (!metadata.has("tokenizer.ggml.scores")) return {};
  CARAT_TRY(v.scores, metadata.floats_at("tokenizer.ggml.scores"));
  if (v.scores.size() != v.size()) {
    return bad_data("tokenizer.ggml.scores has {} entries for {} tokens", v.scores.size(), v.size());
  }
  for (size_t id = 0; id < v.scores.size(); ++id) {
    if (std::isnan(v.scores[id])) return bad_data("tokenizer.ggml.scores[{}] is not a number", id);
  }
  return {};
}

}  // namespace

bool looks_special(std::string_view text) {
  if (text == "<pad>" || text == "<mask>" || text == "<2mass>" || text == "[@BOS@]") return true;
  return (text.starts_with("<|") && text.ends_with("|>") && text.size() > 4) ||
         (text.starts_with("<｜") && text.ends_with("｜>"));
}

int byte_token_value(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    if (c >= '0' && c <= '9') {
      value = value * 16 + (c - '0');
    } else if (c >= 'A' && c <= 'F') {
      value = value * 16 + (c - 'A' + 10);
    } else {
      return -1;
    }
  }
  return value;
}

Result<Vocabulary> read_vocabulary(const Metadata& metadata, const VocabularyDefaults& defaults) {
  Vocabulary v;
  CARAT_DO(read_texts(metadata, v));
  CARAT_DO(read_types(metadata, v));
  CARAT_DO(read_scores(metadata, v));

  CARAT_TRY(v.bos, read_id(metadata, "tokenizer.ggml.bos_token_id", defaults.bos, v.size()));
  CARAT_TRY(v.eos, read_id(metadata, "tokenizer.ggml.eos_token_id", defaults.eos, v.size()));
  CARAT_TRY(v.unknown, read_id(metadata, "tokenizer.ggml.unknown_token_id", defaults.unknown, v.size()));
  CARAT_TRY(v.add_bos, metadata.bool_or("tokenizer.ggml.add_bos_token", defaults.add_bos));
  CARAT_TRY(v.add_eos, metadata.bool_or("tokenizer.ggml.add_eos_token", defaults.add_eos));
  if (defaults.separator >= 0 && !v.add_eos) {
    CARAT_TRY(v.add_eos, metadata.bool_or("tokenizer.ggml.add_sep_token", true));
    // The key is misspelt everywhere.
    if (v.add_eos) {
      CARAT_TRY(v.eos, read_id(metadata, "tokenizer.ggml.seperator_token_id", defaults.separator, v.size()));
    }
  }
  if (v.add_bos && v.bos < 0)
    return bad_data("the model wants a BOS token, but tokenizer.ggml.bos_token_id is missing");
  if (v.add_eos && v.eos < 0)
    return bad_data("the model wants an EOS token, but tokenizer.ggml.eos_token_id is missing");

  v.ends_generation.assign(v.size(), false);
  for (const std::string_view text : turn_ends) {
    const int32_t id = v.texts.find(text);
    if (id < 0) continue;
    v.ends_generation[static_cast<size_t>(id)] = true;
    if (v.types[static_cast<size_t>(id)] == TokenType::normal &&
        (looks_special(text) || text == "<end_of_turn>")) {
      v.types[static_cast<size_t>(id)] = TokenType::control;
    }
  }
  drop_inner_ends(v);
  for (const std::string_view key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    CARAT_TRY(const TokenId id, read_id(metadata, key, -1, v.size()));
    if (id >= 0) v.ends_generation[static_cast<size_t>(id)] = true;
  }
  if (v.eos >= 0) v.ends_generation[static_cast<size_t>(v.eos)] = true;

  v.byte_tokens.fill(-1);
  for (size_t byte = 0; byte < 256; ++byte)
    v.byte_tokens[byte] = v.texts.find(fmt::format("<0x{:02X}>", byte));
  return v;
}

TokenFinder::TokenFinder(const Vocabulary& vocabulary, std::vector<TokenId> ids)
    : vocabulary_(&vocabulary), sorted_(std::move(ids)) {
  const auto text = [&](TokenId id) { return vocabulary.texts[static_cast<size_t>(id)]; };
  std::ranges::sort(sorted_, {}, text);
  for (const TokenId id : sorted_) ++first_byte_[static_cast<uint8_t>(text(id)[0]) + size_t{1}];
  for (size_t b = 0; b < 256; ++b) first_byte_[b + 1] += first_byte_[b];
}

TokenFinder::Found TokenFinder::next(std::string_view text, size_t from) const {
  for (size_t at = from; at < text.size(); ++at) {
    Found best{at, 0, -1};
    each_at(text, at, [&](size_t length, TokenId id) { best = {at, length, id}; });
    if (best.length > 0) return best;
  }
  return {text.size(), 0, -1};
}

}  // namespace carat
