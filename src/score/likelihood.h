// Log-likelihoods of continuations, many at once: beginnings that requests share are computed once, and
// requests of different lengths fill the rows of one forward pass.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "engine/engine.h"

namespace carat {

struct LikelihoodRequest {
  std::vector<TokenId> context;       ///< at least one token (BOS where there is nothing else)
  std::vector<TokenId> continuation;  ///< at least one
};

struct Likelihood {
  double log_probability = 0;  ///< of the continuation after the context, nats
  bool greedy = false;         ///< each of its tokens was the likeliest
  int64_t tokens = 0;          ///< of the continuation
};

/// results[i] answers requests[i]; the values do not depend on which requests come together. Errors:
/// Code::usage for a request that does not fit the context (nothing is cut silently); Code::bad_data for
/// logits that are not finite; interruption.
Status score_likelihoods(const Context& context, Engine& engine, std::span<const LikelihoodRequest> requests,
                         std::span<Likelihood> results);

/// Context and continuation as tokens, as lm-evaluation-harness divides them: white space at the end of the
/// context goes to the continuation; both are tokenized together, and what the context alone has tokens for
/// is context. BOS comes first where the model wants it; a context that has no token is prefix_token().
/// Code::usage where the continuation has no token of its own; Code::bad_data without a tokenizer.
Result<LikelihoodRequest> encode_request(const Engine& engine, std::string_view context,
                                         std::string_view continuation);

/// What a text without a beginning is predicted from: BOS, or EOS where there is none. Code::bad_data where
/// there is neither.
Result<TokenId> prefix_token(const Engine& engine);

}  // namespace carat
