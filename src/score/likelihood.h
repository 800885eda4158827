// Log-likelihoods of continuations, many at once: beginnings that requests share are computed once, and
// requests of different lengths fill the rows of one forward pass.
#pragma once

#include <functional>
#include <span>
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

/// Context and continuation as tokens, as lm-evaluation-harness divides them: spaces at the end of the
/// context go to the continuation; both are tokenized together, and what the context alone has tokens for is
/// context. Code::usage where the continuation has no token of its own.
Result<LikelihoodRequest> encode_request(const Engine& engine, std::string_view context,
                                         std::string_view continuation);

}  // namespace carat
