// The loop of generation: prompt in, tokens out one by one, text streamed as whole characters.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/sampler.h"

namespace carat {

struct GenerateOptions {
  SamplerOptions sampler;
  int64_t max_tokens = -1;        ///< -1 = until the model stops or the context is full
  bool show_special = false;      ///< write control tokens as their text
  std::vector<std::string> stop;  ///< the text ends before the first of these; none may be empty
};

enum class StopReason {
  end_of_generation,  ///< the model said so
  max_tokens,
  context_full,
  stop_text,  ///< one of the options' stop texts came
  stopped     ///< by the callback, or cancelled between tokens
};

struct Generation {
  std::vector<TokenId> tokens;  ///< what was generated, without the token that ended it
  std::string text;             ///< of these, valid UTF-8; up to the stop text
  StopReason reason = StopReason::end_of_generation;
  int64_t prompt_tokens = 0;  ///< appended in this call
  double prompt_seconds = 0, token_seconds = 0;
};

/// Told of each piece of text as it comes; false stops.
using OnPiece = std::function<bool(std::string_view)>;

/// Appends `prompt` (at least one token) to the session and generates. The session then holds history, prompt
/// and every generated token but possibly the last, which no further one was wanted after. history: the
/// tokens the session already holds, for the repetition penalty. Errors: the engine has no tokenizer; options
/// out of range; those of Session::append. Cancellation while the prompt is processed is Code::interrupted;
/// later it ends the generation with what there is.
Result<Generation> generate(const Context& context, const Engine& engine, Session& session,
                            std::span<const TokenId> history, std::span<const TokenId> prompt,
                            const GenerateOptions& options, const OnPiece& on_piece);

}  // namespace carat
