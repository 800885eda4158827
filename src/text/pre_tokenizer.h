// How byte-level BPE vocabularies cut text into words before merging: the known kinds, by GGUF's
// tokenizer.ggml.pre, as the steps of Hugging Face's tokenizer.json that the models were trained with.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "containers/metadata.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace carat {

/// One step of tokenizer.json's pre_tokenizer. Each cuts every piece the steps before it left.
struct SplitStep {
  enum Kind {
    split,        ///< Split, behavior Isolated: matches of `regex` and what lies between them
    digits,       ///< Digits, individual_digits: every numeric character on its own
    punctuation,  ///< Punctuation, behavior Contiguous
    gpt2_words    ///< ByteLevel with use_regex: GPT-2's words
  };
  Kind kind;
  std::string_view regex;  ///< of `split`, as tokenizer.json has it
};

struct PreTokenizerKind {
  std::vector<std::string_view> names;  ///< values of tokenizer.ggml.pre; the first is the one we write
  std::vector<SplitStep> steps;
  bool nfc = false;            ///< the model's tokenizer.json normalises to NFC first
  bool ignore_merges = false;  ///< a word that is a token is that token, whatever the merges say
  bool add_bos = false;        ///< llama.cpp's default for add_bos_token
};

std::span<const PreTokenizerKind> pre_tokenizer_kinds();

/// The expression behind SplitStep::gpt2_words.
std::string_view gpt2_word_expression();

/// A bad_data error that lists the known names if there is none of this name.
Result<const PreTokenizerKind*> find_pre_tokenizer(std::string_view name);
/// That of tokenizer.ggml.pre. Files of before 2024 lack the key; like llama.cpp, their text is cut in its
/// oldest way, of which Tokenizer::note_of() tells the user.
Result<const PreTokenizerKind*> pre_tokenizer_of(const Metadata& metadata);

/// The compiled steps of a kind.
class PreTokenizer {
 public:
  static Result<PreTokenizer> make(const PreTokenizerKind& kind);
  const PreTokenizerKind& kind() const { return *kind_; }

  /// Cuts one text after another; the searches' buffers live as long as it.
  class Cutter {
   public:
    explicit Cutter(const PreTokenizer& pre);
    /// Calls word(std::string_view) -> Status for each word in order; together the words are the text. Bytes
    /// that are no UTF-8 make words of their own.
    template <class Word>
    Status cut(std::string_view text, Word&& word);

   private:
    template <class Word>
    Status cut_from(size_t step, std::string_view piece, Word& word);
    std::vector<Regex::Searcher> searchers_;
  };

 private:
  const PreTokenizerKind* kind_ = nullptr;
  std::vector<Regex> regexes_;
};

template <class Word>
Status PreTokenizer::Cutter::cut(std::string_view text, Word&& word) {
  for (size_t at = 0; at < text.size();) {
    if (const size_t n = valid_utf8_prefix(text, at); n > 0) {
      CARAT_DO(cut_from(0, text.substr(at, n), word));
      at += n;
    }
    if (const size_t n = invalid_utf8_prefix(text, at); n > 0) {
      CARAT_DO(word(text.substr(at, n)));
      at += n;
    }
  }
  return {};
}

template <class Word>
Status PreTokenizer::Cutter::cut_from(size_t step, std::string_view piece, Word& word) {
  if (step == searchers_.size()) return word(piece);
  size_t done = 0;
  while (done < piece.size()) {
    CARAT_TRY(const auto match, searchers_[step].next(piece, done));
    const size_t begin = match ? match->begin : piece.size();
    if (begin > done) CARAT_DO(cut_from(step + 1, piece.substr(done, begin - done), word));
    if (!match) break;
    CARAT_DO(cut_from(step + 1, piece.substr(begin, match->end - begin), word));
    done = match->end;
  }
  return {};
}

}  // namespace carat
