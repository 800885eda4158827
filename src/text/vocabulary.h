// The vocabulary of a model as tokenizer.ggml.* has it: texts, types, scores and the ids with a meaning.
#pragma once

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
  bool add_bos = false;
};

struct Vocabulary {
  StringTable texts;  ///< by id
  std::vector<TokenType> types;
  std::vector<float> scores;  ///< empty if there are none
  std::vector<bool> ends_generation;
  std::array<TokenId, 256> byte_tokens;  ///< of "<0x00>".."<0xFF>", -1 where missing
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

 private:
  const Vocabulary* vocabulary_;
  std::vector<TokenId> sorted_;             ///< by text, so that a prefix is a range
  std::array<uint32_t, 257> first_byte_{};  ///< range of each first byte
};

}  // namespace carat
