// What differs between kinds of tokenizers: ids of a stretch of plain text, and the bytes of an ordinary
// token.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "text/pre_tokenizer.h"
#include "text/vocabulary.h"

namespace carat {

/// Working memory of one call of encode; not shared between threads.
struct EncodeScratch {
  std::unique_ptr<PreTokenizer::Cutter> cutter;
  /// Ids of words met before; text repeats its words.
  std::unordered_map<std::string, std::vector<TokenId>> words;
};

class TextModel {
 public:
  virtual ~TextModel() = default;
  /// Appends the ids of `text`. `at_start`: nothing or a special token stands before it.
  virtual Status encode(std::string_view text, bool at_start, EncodeScratch& scratch,
                        std::vector<TokenId>& out) const = 0;
  /// Bytes of a token that is neither control nor user-defined.
  virtual std::string bytes(TokenId id) const = 0;
  /// Whether a leading space of a decoded sequence is the tokenizer's own.
  virtual bool adds_space() const = 0;
};

/// "gpt2": words, bytes as characters, merges by rank. The vocabulary must outlive the model.
Result<std::unique_ptr<TextModel>> make_byte_level_bpe(const Metadata& metadata, const PreTokenizerKind& kind,
                                                       const Vocabulary& vocabulary);
/// "llama": SentencePiece's BPE, merges by score, bytes where no token fits.
Result<std::unique_ptr<TextModel>> make_sentencepiece_bpe(const Metadata& metadata,
                                                          const Vocabulary& vocabulary);

}  // namespace carat
