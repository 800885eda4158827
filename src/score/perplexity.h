// Perplexity of a text, and divergence from a reference model that runs over the same tokens in lock-step: no
// file of logits, memory for one slab of rows per model (reference/gguf.md on llama-perplexity's 37 GB files
// says why).
//
// The definition is llama.cpp's, so that figures compare. The text is tokenized as a whole with the model's
// own rule for BOS and EOS and cut into chunks of `context` tokens; an unfinished last chunk is dropped. In
// each chunk the first token becomes BOS if the model wants one, and the predictions made at positions
// context / 2 to context - 2 count, so that each has at least half the context before it. Perplexity is
// exp(mean of -log p).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/context.h"
#include "engine/engine.h"
#include "score/statistics.h"

namespace carat {

struct PerplexityOptions {
  int64_t context = 512;  ///< tokens of a chunk
  int64_t chunks = -1;    ///< at most so many; -1 = all
  bool floor = false;     ///< with a reference: also the divergence of its activation rounding alone
};

/// How one run over the text went; figures are over the scored tokens.
struct TextScore {
  Estimate nll;  ///< -log p of the next token, nats
  double perplexity = 0;
  double perplexity_standard_error = 0;
};

struct ReferenceComparison {
  TextScore reference;
  Distribution kl;      ///< KL(reference || candidate) per token, nats
  Estimate same_top_p;  ///< share of tokens where both find the same token likeliest
  Estimate delta_p;     ///< p(next token), candidate minus reference
  double delta_p_rms = 0;
  Estimate log_ratio;          ///< ln(perplexity / reference perplexity)
  double nll_correlation = 0;  ///< of the two per-token nlls
  /// KL(reference || reference whose float weights meet activations rounded as quantized weights do): what a
  /// candidate with perfect weights would show.
  std::optional<Distribution> floor;
  std::vector<double> kl_per_chunk;  ///< means, in order: what paired comparisons of two files need
};

struct PerplexityResult {
  TextScore score;
  int64_t context = 0;
  int64_t chunks = 0;
  int64_t tokens = 0;  ///< scored: chunks * (context - 1 - context / 2)
  std::optional<ReferenceComparison> comparison;
};

/// reference may be null. Errors: Code::usage for options the text or the models cannot serve (a context
/// beyond an engine's, a text shorter than one chunk, a reference with another vocabulary); Code::bad_data
/// where a model has no tokenizer or gives logits that are not finite; interruption.
Result<PerplexityResult> measure_perplexity(const Context& context, Engine& candidate, Engine* reference,
                                            std::string_view text, const PerplexityOptions& options);

}  // namespace carat
