// Figures of a choice from the log-likelihoods of its continuations.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "evaluate/subject.h"
#include "suites/suite.h"

namespace carat {

using Metrics = std::vector<std::pair<std::string, double>>;

struct ChoiceScore {
  Metrics metrics;
  int64_t chosen = 0;  ///< by log-likelihood; the first of equals
};

/// Several choices: acc (the likeliest is gold), acc_norm and acc_chars (the likeliest per byte, per
/// character; lm-evaluation-harness calls them acc_bytes and acc_norm), gold_nll (nats of the whole gold
/// continuation), chance (1 / choices: what guessing gives). One choice: greedy (it is what greedy decoding
/// says; "acc" of LAMBADA) and gold_nll. `replies` has one for each choice. Lengths are those of the choices
/// without the first `delimiter` bytes of each, which divide it from its context, as lm-evaluation-harness
/// counts.
ChoiceScore score_choice(const Item& item, size_t delimiter, std::span<const LikelihoodReply> replies);

}  // namespace carat
