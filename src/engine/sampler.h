// Chooses the next token from logits. The stages and their order are those users know from llama.cpp
// (repetition penalty, top-k, top-p, min-p, temperature), so that its settings give the same distribution.
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
  void penalize(std::span<const TokenId> history);
  void sort_first(size_t count);
  void keep_top_p();
  TokenId draw();

  SamplerOptions options_;
  Random random_;
  std::vector<Candidate> candidates_;  ///< those still possible
  size_t sorted_ = 0;                  ///< the first so many are in order, likeliest first
};

}  // namespace carat
