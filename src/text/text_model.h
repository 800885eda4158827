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
  /// Ids of words met before; text repeats its words. Longer ones, or more of them, are not kept.
  std::unordered_map<std::string, std::vector<TokenId>> words;
  static constexpr size_t max_words = 1 << 15, max_word_bytes = 64;

  /// Appends the ids of `word`: those kept, or what encode(word, out) appends, a Status.
  template <class Encode>
  Status cached(std::string_view word, Encode&& encode, std::vector<TokenId>& out) {
    if (word.size() > max_word_bytes) return encode(word, out);
    std::string key(word);
    if (const auto found = words.find(key); found != words.end()) {
      out.insert(out.end(), found->second.begin(), found->second.end());
      return {};
    }
    const size_t before = out.size();
    CARAT_DO(encode(word, out));
    if (words.size() >= max_words) words.clear();
    words.emplace(std::move(key),
                  std::vector<TokenId>(out.begin() + static_cast<std::ptrdiff_t>(before), out.end()));
    return {};
  }
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
Result<std::unique_ptr<TextModel>> make_byte_level_bpe(const Metadata& metadata,
                                                       const Vocabulary& vocabulary);
/// "llama": SentencePiece's BPE, merges by score, bytes where no token fits.
Result<std::unique_ptr<TextModel>> make_sentencepiece_bpe(const Metadata& metadata,
                                                          const Vocabulary& vocabulary);
/// "t5": SentencePiece's unigram model, the best sum of scores.
Result<std::unique_ptr<TextModel>> make_unigram(const Metadata& metadata, const Vocabulary& vocabulary);
/// "bert": WordPiece, the longest token first.
Result<std::unique_ptr<TextModel>> make_word_piece(const Metadata& metadata, const Vocabulary& vocabulary);
/// The table of characters of "t5" (charsmap.h), which GGUF holds as an array of signed or unsigned bytes;
/// empty if there is none.
Result<std::string> charsmap_blob(const Metadata& metadata);

/// What holds for this tokenizer.ggml.model where the metadata do not say.
Result<VocabularyDefaults> vocabulary_defaults(const Metadata& metadata);

}  // namespace carat
