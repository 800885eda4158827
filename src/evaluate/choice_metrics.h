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

/// Length of a continuation as lm-evaluation-harness counts it: without the space that divides it from its
/// context.
int64_t choice_bytes(std::string_view choice);
int64_t choice_characters(std::string_view choice);

struct ChoiceScore {
  Metrics metrics;
  int64_t chosen = 0;  ///< by log-likelihood; the first of equals
};

/// Several choices: acc (the likeliest is gold), acc_norm and acc_chars (the likeliest per byte, per
/// character; lm-evaluation-harness calls them acc_bytes and acc_norm), gold_nll (nats of the whole gold
/// continuation), chance (1 / choices: what guessing gives). One choice: greedy (it is what greedy decoding
/// says; "acc" of LAMBADA) and gold_nll. `replies` has one for each choice.
ChoiceScore score_choice(const Item& item, std::span<const LikelihoodReply> replies);

}  // namespace carat
