// The vocabulary while hf_tokenizer.cc and hf_pieces.cc put it together from Hugging Face's files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "containers/json.h"
#include "containers/metadata.h"
#include "containers/quote.h"
#include "text/vocabulary.h"

namespace carat {

struct Building {
  static constexpr size_t max_ids = size_t{1} << 22;

  std::vector<std::string> texts;
  std::vector<int32_t> types;
  std::vector<float> scores;
  std::vector<bool> present;

  Status put(uint64_t id, std::string text, TokenType type, float score) {
    if (id >= max_ids)
      return bad_data("token {} has the id {}, which no real vocabulary reaches", quote(text), id);
    if (id >= texts.size()) {
      texts.resize(id + 1);
      types.resize(id + 1, static_cast<int32_t>(TokenType::unused));
      scores.resize(id + 1, -10000.0f);
      present.resize(id + 1, false);
    }
    texts[id] = std::move(text);
    types[id] = static_cast<int32_t>(type);
    scores[id] = score;
    present[id] = true;
    return {};
  }
};

/// A whole number of 0 or more; of a list (eos_token_id may list several) the first.
inline std::optional<uint64_t> id_of(const json::value* v) {
  if (v && v->is_array() && !v->get_array().empty()) v = &v->get_array()[0];
  if (!v || !v->is_int64() || v->get_int64() < 0) return std::nullopt;
  return static_cast<uint64_t>(v->get_int64());
}

/// model.vocab of BPE and WordPiece: {text: id}.
Status put_vocabulary(const json::value& model, Building& v);
Status put_added_tokens(const json::value& tokenizer, Building& v);

/// tokenizer.ggml.* of a tokenizer.json with a model of type WordPiece or Unigram. A normalizer or
/// pre_tokenizer that the model's own program (BERT, SentencePiece) does not have is an error.
Status read_word_piece(const json::value& tokenizer, const json::value& model, Building& v, Metadata& out);
Status read_unigram(const json::value& tokenizer, const json::value& model, Building& v, Metadata& out);

/// Expressions of the normalizers that stand for SentencePiece's remove_extra_whitespaces.
inline constexpr std::string_view spaces_at_ends = R"(\A +| +\z)";
inline constexpr std::string_view spaces_in_a_row = " {2,}";

/// What "t5" needs besides the vocabulary.
void set_unigram(std::string_view charsmap, bool add_space, bool merge_spaces, Metadata& out);

}  // namespace carat
