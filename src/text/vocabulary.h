// The vocabulary of a model as tokenizer.ggml.* has it: texts, types, scores and the ids with a meaning.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "containers/metadata.h"
#include "text/string_table.h"
#include "text/tokenizer.h"

namespace carat {

/// Numbers of tokenizer.ggml.token_type.
enum class TokenType : uint8_t { undefined, normal, unknown, control, user_defined, unused, byte };

/// What holds for a kind of model where the metadata does not say.
struct VocabularyDefaults {
  TokenId bos = -1, eos = -1, unknown = -1;
  TokenId separator = -1;  ///< of models that end a text with it
  bool add_bos = false, add_eos = false;
};

struct Vocabulary {
  StringTable texts;  ///< by id
  std::vector<TokenType> types;
  std::vector<float> scores;  ///< empty if there are none
  std::vector<bool> ends_generation;
  std::array<TokenId, 256> byte_tokens;  ///< of "<0x00>".."<0xFF>", -1 where missing
  /// A separator that the model wants at the end of a text (BERT's [SEP]) is the end of sequence here.
  TokenId bos = -1, eos = -1, unknown = -1;
  bool add_bos = false, add_eos = false;

  size_t size() const { return types.size(); }
};

/// bad_data names the key: arrays of different lengths, an id past the end, a token twice.
Result<Vocabulary> read_vocabulary(const Metadata& metadata, const VocabularyDefaults& defaults);

/// Texts that are markers by their looks (<|im_start|>, <｜User｜>, [INST] is not), whatever type a converter
/// gave them: llama.cpp's converter goes by the same looks.
bool looks_special(std::string_view token_text);

/// The value of a strict "<0xHH>", or -1.
int byte_token_value(std::string_view token_text);

/// Finds tokens in text, the longest at each place.
class TokenFinder {
 public:
  /// `ids` need texts that are not empty.
  TokenFinder(const Vocabulary& vocabulary, std::vector<TokenId> ids);
  struct Found {
    size_t begin, length;
    TokenId id;
  };
  /// The first place at or after `from` where one stands; length 0 if there is none.
  Found next(std::string_view text, size_t from) const;
  /// Calls each(length, id) for every token that begins at text[at], the shortest first.
  template <class Each>
  void each_at(std::string_view text, size_t at, Each&& each) const;

 private:
  const Vocabulary* vocabulary_;
  std::vector<TokenId> sorted_;             ///< by text, so that a prefix is a range
  std::array<uint32_t, 257> first_byte_{};  ///< range of each first byte
};

template <class Each>
void TokenFinder::each_at(std::string_view text, size_t at, Each&& each) const {
  const auto first = static_cast<uint8_t>(text[at]);
  auto low = sorted_.begin() + first_byte_[first];
  auto high = sorted_.begin() + first_byte_[first + size_t{1}];
  // Of the tokens that begin with text[at..at+depth), the shortest stands first.
  for (size_t depth = 1; low != high; ++depth) {
    if (vocabulary_->texts[static_cast<size_t>(*low)].size() == depth) {
      each(depth, *low);
      if (++low == high) break;
    }
    if (at + depth >= text.size()) break;
    const auto byte = static_cast<uint8_t>(text[at + depth]);
    const auto byte_of = [&](TokenId id) {
      return static_cast<uint8_t>(vocabulary_->texts[static_cast<size_t>(id)][depth]);
    };
    low = std::partition_point(low, high, [&](TokenId id) { return byte_of(id) < byte; });
    high = std::partition_point(low, high, [&](TokenId id) { return byte_of(id) == byte; });
  }
}

}  // namespace carat
