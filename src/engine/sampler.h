// Chooses the next token from logits. The stages and their order are those users know from llama.cpp
// (repetition penalty, top-k, top-p, min-p, temperature), so that its settings give the same distribution.
//
// Choosing must not cost what a layer costs, however large the vocabulary: logits are passed over once, in
// blocks whose largest is compared with what it takes to be among the likeliest; only those few are sorted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "text/tokenizer.h"

namespace carat {

struct SamplerOptions {
  float temperature = 0.8f;  ///< 0 = greedy: the likeliest token after the penalty, the lowest id on a tie
  int64_t top_k = 40;        ///< only the k likeliest; 0 = all
  float top_p = 0.95f;       ///< the fewest likeliest tokens that together reach this share; 1 = all
  float min_p = 0.05f;       ///< only tokens at least this share as likely as the likeliest; 0 = all
  float repetition_penalty =
      1;  ///< > 1 makes tokens seen in the window less likely (Keskar et al. 2019); 1 = off
  int64_t repetition_window = 64;  ///< last tokens that count as seen; -1 = all
  uint64_t seed = 0;

  /// Code::usage naming the first option outside its range.
  Status check() const;
};

/// The same options, seed, histories and logits give the same tokens.
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {}

  /// history: the tokens so far, prompt included. Logits must not be empty; NaN counts as impossible.
  TokenId sample(std::span<const float> logits, std::span<const TokenId> history);

 private:
  struct Candidate {
    float logit;
    TokenId id;
  };
  static bool before(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  }
  std::span<const float> penalized(std::span<const float> logits, std::span<const TokenId> history);
  void select(std::span<const float> logits, size_t count);
  void select_top_p(std::span<const float> logits, float best);
  void keep_top_p(double total, float best);
  TokenId draw(float best);

  SamplerOptions options_;
  Random random_;
  std::vector<float> penalized_;       ///< the logits, where there is a penalty
  std::vector<Candidate> candidates_;  ///< those still possible
  std::vector<double> weights_;        ///< of the candidates
};

}  // namespace carat
