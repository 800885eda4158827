// Mixtures of experts: which of them a token goes through, and with what weight.
//
// A token's logits give each expert a score; the experts of the largest scores are chosen (of equal ones,
// those of the smaller number), and their scores, perhaps normalised and scaled, are their weights.
#pragma once

#include <cstdint>
#include <vector>

#include "arch/model_config.h"

namespace carat {

/// For route(); grown as needed.
struct RoutingScratch {
  std::vector<double> scores, rank;  ///< [experts] what weighs, what chooses
  std::vector<int32_t> order, groups;
  std::vector<double> group_rank;
};

/// Chooses config.used of config.count experts by one token's logits[config.count] and, where it is not null,
/// correction[config.count], which is added to scores for choosing only. `chosen` and `weights` hold
/// config.used entries, in the order of the experts' numbers.
void route(const ExpertConfig& config, const float* logits, const float* correction, int32_t* chosen,
           float* weights, RoutingScratch& scratch);

/// Work space of layer_experts(); n = tokens, k = experts of a token.
struct ExpertScratch {
  std::vector<float> logits;    ///< [n, experts]
  std::vector<int32_t> chosen;  ///< [n, k] in ascending order
  std::vector<float> weights;   ///< [n, k]
  std::vector<int32_t> first;   ///< [experts + 1] where an expert's tokens begin in `places`
  std::vector<int32_t> places;  ///< [n * k] entries of `chosen`, by expert, tokens in their order
  std::vector<float> gathered;  ///< [n, width] of one expert's tokens
  std::vector<float> out;       ///< [n, width] what an expert gives; or [k, width], all experts of one token
  std::vector<float> mixed;     ///< [n, width] their weighted sum
  std::vector<int32_t> filled;  ///< [experts] of `places`, while it is made
  RoutingScratch routing;
};

}  // namespace carat
