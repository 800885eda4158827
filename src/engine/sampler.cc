#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace carat {

Status SamplerOptions::check() const {
  if (!(temperature >= 0 && temperature <= 100))
    return usage_error("temperature must be in [0, 100], not {}", temperature);
  if (top_k < 0) return usage_error("top-k must be 0 (all) or more, not {}", top_k);
  if (!(top_p > 0 && top_p <= 1)) return usage_error("top-p must be in (0, 1], not {}", top_p);
  if (!(min_p >= 0 && min_p <= 1)) return usage_error("min-p must be in [0, 1], not {}", min_p);
  if (!(repetition_penalty > 0 && repetition_penalty <= 100)) {
    return usage_error("repetition penalty must be in (0, 100], not {}", repetition_penalty);
  }
  if (repetition_window < -1)
    return usage_error("repetition window must be -1 (all) or more, not {}", repetition_window);
  return {};
}

TokenId Sampler::sample(std::span<const float> logits, std::span<const TokenId> history) {
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logit = std::isnan(logits[i]) ? -std::numeric_limits<float>::infinity() : logits[i];
    candidates_[i] = {logit, static_cast<TokenId>(i)};
  }
  sorted_ = 0;
  if (options_.repetition_penalty != 1) penalize(history);
  if (options_.temperature == 0) {
    return std::min_element(candidates_.begin(), candidates_.end(), before)->id;
  }
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < candidates_.size()) {
    sort_first(options_.top_k);
    candidates_.resize(options_.top_k);
  }
  if (options_.top_p < 1) keep_top_p();
  if (options_.min_p > 0) {
    const float best = std::min_element(candidates_.begin(), candidates_.end(), before)->logit;
    const float least = best + std::log(options_.min_p);
    std::erase_if(candidates_, [&](const Candidate& c) { return c.logit < least; });
  }
  return draw();
}

/// Divides positive and multiplies negative logits of seen tokens, once however often they were seen.
/// The candidates are still in the order of their ids here.
void Sampler::penalize(std::span<const TokenId> history) {
  size_t window = history.size();
  if (options_.repetition_window >= 0)
    window = std::min(window, static_cast<size_t>(options_.repetition_window));
  std::vector<TokenId> seen(history.end() - window, history.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  for (const TokenId id : seen) {
    if (id < 0 || static_cast<size_t>(id) >= candidates_.size()) continue;
    float& logit = candidates_[id].logit;
    logit = logit > 0 ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
  }
}

void Sampler::sort_first(size_t count) {
  count = std::min(count, candidates_.size());
  if (count <= sorted_) return;
  std::partial_sort(candidates_.begin() + sorted_, candidates_.begin() + count, candidates_.end(), before);
  sorted_ = count;
}

void Sampler::keep_top_p() {
  const float best = std::min_element(candidates_.begin(), candidates_.end(), before)->logit;
  double total = 0;
  for (const Candidate& c : candidates_) total += std::exp(static_cast<double>(c.logit) - best);
  const double enough = options_.top_p * total;
  double sum = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (i == sorted_) sort_first(std::max<size_t>(64, 2 * sorted_));  // few are needed as a rule
    sum += std::exp(static_cast<double>(candidates_[i].logit) - best);
    if (sum >= enough) {
      candidates_.resize(i + 1);
      sorted_ = i + 1;
      return;
    }
  }
}

TokenId Sampler::draw() {
  const float best = std::min_element(candidates_.begin(), candidates_.end(), before)->logit;
  const auto weight = [&](const Candidate& c) {
    return std::exp((static_cast<double>(c.logit) - best) / options_.temperature);
  };
  double total = 0;
  for (const Candidate& c : candidates_) total += weight(c);
  double left = random_.uniform() * total;
  for (const Candidate& c : candidates_) {
    left -= weight(c);
    if (left < 0) return c.id;
  }
  return candidates_.back().id;
}

}  // namespace carat
