// The log-probabilities of a prompt as OpenAI's completions give them with "echo": per token its text, its
// log-probability (none for the first) and the likeliest token. Servers differ in what they call a token's
// text and where its offset begins, and some give only the generated token's figures, which then look like
// guessing; so nothing is believed that does not fit the prompt byte for byte.
#pragma once

#include <string_view>
#include <vector>

#include "base/error.h"
#include "containers/json.h"

namespace carat {

struct PromptToken {
  int64_t begin = 0, end = 0;  ///< bytes of the prompt
  double log_probability = 0;  ///< nats
  bool known = false;          ///< the first token of a prompt has no log-probability
  bool likeliest = false;
};

/// choices[0].logprobs of `reply`, as the tokens that `prompt` has in order; a begin token before it and
/// generated tokens after it are left out. bad_data says what does not fit.
Result<std::vector<PromptToken>> read_prompt_logprobs(const json::value& reply, std::string_view prompt);

/// Sum over the tokens of [begin, end of prompt). bad_data where a token lies on both sides of `begin`, or
/// has no log-probability.
struct ContinuationLogprob {
  double log_probability = 0;
  bool greedy = true;
  int64_t tokens = 0, tokens_before = 0;
};
Result<ContinuationLogprob> continuation_logprob(const std::vector<PromptToken>& tokens, int64_t begin);

}  // namespace carat
