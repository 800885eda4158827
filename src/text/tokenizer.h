// Text to token ids and back. One interface for byte-level BPE, SentencePiece's BPE and unigram models and
// WordPiece; all vocabularies arrive as GGUF metadata (tokenizer.ggml.*), which arch/ and hf_tokenizer.h also
// make from tokenizer.json and tokenizer.model, so that there is one path from then on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "containers/metadata.h"

namespace carat {

using TokenId = int32_t;

/// A stretch of text; special tokens are recognised only where trusted, so that user text cannot inject them.
struct TextSpan {
  std::string text;
  bool trusted = false;
};

class Tokenizer {
 public:
  /// Builds from tokenizer.ggml.*; bad_data names the key at fault. An unknown tokenizer.ggml.model or .pre
  /// is an error that says which are known and what to do.
  static Result<std::shared_ptr<const Tokenizer>> from_metadata(const Metadata& metadata);
  virtual ~Tokenizer() = default;
  /// A sentence the user should see where the metadata leave open how text is split and from_metadata() takes
  /// the oldest way; empty otherwise.
  static std::string note_of(const Metadata& metadata);

  /// add_special: BOS/EOS as the model wants them (add_bos_token, add_eos_token, and the model's default).
  /// parse_special: control tokens written in the text become those tokens.
  virtual Result<std::vector<TokenId>> encode(std::string_view text, bool add_special,
                                              bool parse_special) const = 0;
  /// Spans in order, each with parse_special = trusted; merges do not cross spans. No BOS is added.
  virtual Result<std::vector<TokenId>> encode_spans(const std::vector<TextSpan>& spans) const = 0;
  /// Raw bytes a token stands for (may be a piece of a UTF-8 character); control tokens give their text only
  /// if `special`. Ids out of range give nothing.
  virtual std::string token_bytes(TokenId id, bool special) const = 0;
  /// Text of a whole sequence; strips the leading space SentencePiece models add to the first word. WordPiece
  /// and models that map characters give the text back as they saw it: in lower case, one space between
  /// words.
  virtual std::string decode(const std::vector<TokenId>& ids, bool special) const = 0;

  virtual size_t vocabulary_size() const = 0;
  virtual TokenId bos() const = 0;  ///< -1 if there is none, like the others
  virtual TokenId eos() const = 0;
  virtual bool adds_bos() const = 0;
  virtual bool adds_eos() const = 0;
  /// End of sequence, of turn (<|im_end|>, <|eot_id|>, ...) or of message: generation stops there.
  virtual bool ends_generation(TokenId id) const = 0;
  /// Id of a token by its exact vocabulary text; -1 if there is none.
  virtual TokenId find(std::string_view token_text) const = 0;
  virtual bool is_control(TokenId id) const = 0;
};

}  // namespace carat
