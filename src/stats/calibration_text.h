// The text that a model is calibrated on, as tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "stats/text_sketch.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace carat {

struct CalibrationTextOptions {
  int64_t context = 512;   ///< tokens of a sequence, BOS included where the model wants one
  int64_t sequences = -1;  ///< at most so many, taken evenly from all texts; -1: all
};

struct CalibrationText {
  std::vector<std::vector<TokenId>> sequences;  ///< of `context` tokens each
  int64_t context = 0;
  std::vector<std::string> names;  ///< of the texts, in order
  std::string digest;              ///< SHA-256 of what was cut from the texts: the tokens, however divided
  TextSketch sketch;               ///< of the same

  int64_t tokens() const { return static_cast<int64_t>(sequences.size()) * context; }
};

struct NamedText {
  std::string name, text;
};
struct NamedTokens {
  std::string name;
  std::vector<TokenId> tokens;
};

/// Each text is tokenized as a whole and cut into sequences; an unfinished last one is dropped. Where fewer
/// are wanted than there are, they are spread evenly over all, so that no text is left out for its place.
/// bad_data naming the text: nothing in it, not UTF-8 (with the offset), or too short for one sequence.
Result<CalibrationText> cut_calibration_text(const Tokenizer& tokenizer, const std::vector<NamedText>& texts,
                                             const CalibrationTextOptions& options);
/// The same for what is tokens already, without BOS.
Result<CalibrationText> cut_calibration_tokens(const Tokenizer& tokenizer,
                                               const std::vector<NamedTokens>& texts,
                                               const CalibrationTextOptions& options);

/// Conversations as the model's chat template renders them, one after the other. The text is JSON, one
/// conversation per line: an object whose "messages" are objects of "role" and "content", or just the array
/// of them. bad_data naming text and line.
Result<NamedTokens> tokenize_conversations(const Tokenizer& tokenizer, const ChatTemplate& format,
                                           const NamedText& text);

}  // namespace carat
