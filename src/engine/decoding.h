// One sequence while it is generated: chooses its tokens, makes text of them and knows when it is over. Who
// computes the logits, alone or for many sequences at once, is none of its business.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "engine/generate.h"
#include "engine/stop_finder.h"
#include "engine/utf8_stream.h"

namespace carat {

/// Code::usage naming what is out of range.
Status check_generate_options(const GenerateOptions& options);

class Decoding {
 public:
  /// tokens: all so far, for the repetition penalty.
  Decoding(const Tokenizer& tokenizer, const GenerateOptions& options, std::vector<TokenId> tokens);

  /// Chooses a token by the logits that follow the tokens so far; `room`: tokens that may still be appended
  /// to the session. Returns the token to append if the generation goes on from there.
  std::optional<TokenId> next(std::span<const float> logits, int64_t room, const OnPiece& on_piece);
  /// What was generated; its times are the caller's to fill in. `reason`, where the caller ended it.
  Generation finish(const OnPiece& on_piece, std::optional<StopReason> reason = {});

 private:
  bool emit(const std::string& piece, const OnPiece& on_piece);

  const Tokenizer* tokenizer_;
  int64_t max_tokens_;
  bool show_special_;
  Sampler sampler_;
  Utf8Stream characters_;
  StopFinder stops_;
  std::vector<TokenId> tokens_;
  Generation out_;
};

}  // namespace carat
