#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernels.h"

namespace carat {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Logits that are compared at once.
constexpr size_t block = 32;

/// The largest of a block; NaN does not count. Eight running maxima, for the compiler to keep in vectors.
float largest_of_block(const float* x) {
  float largest[8];
  std::fill_n(largest, 8, -infinity);
  for (size_t i = 0; i < block; i += 8)
    for (size_t lane = 0; lane < 8; ++lane)
      largest[lane] = x[i + lane] > largest[lane] ? x[i + lane] : largest[lane];
  return *std::max_element(largest, largest + 8);
}

/// The lowest index of the largest logit; 0 where none is a number.
TokenId first_of_largest(std::span<const float> logits) {
  float best = -infinity;
  size_t at = 0, i = 0;
  const auto look_at = [&](size_t j) {
    if (logits[j] > best) {
      best = logits[j];
      at = j;
    }
  };
  for (; i + block <= logits.size(); i += block) {
    if (!(largest_of_block(&logits[i]) > best)) continue;
    for (size_t j = i; j < i + block; ++j) look_at(j);
  }
  for (; i < logits.size(); ++i) look_at(i);
  return static_cast<TokenId>(at);
}

/// log(sum(e^x)) over the logits that are numbers.
double log_sum(std::span<const float> logits) {
  const auto chosen = default_kernel_table();
  const KernelTable& kernels = chosen ? **chosen : *kernel_table(Isa::portable);
  const double sum = log_sum_exp(kernels, logits.data(), static_cast<int64_t>(logits.size())).value;
  if (!std::isnan(sum)) return sum;
  std::vector<float> numbers(logits.begin(), logits.end());
  std::ranges::replace_if(
      numbers, [](float x) { return std::isnan(x); }, -infinity);
  return log_sum_exp(kernels, numbers.data(), static_cast<int64_t>(numbers.size())).value;
}

}  // namespace

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
  if (options_.repetition_penalty != 1) logits = penalized(logits, history);
  const TokenId likeliest = first_of_largest(logits);
  const float best = logits[likeliest];
  // An infinity leaves nothing to choose; where nothing is a number, nothing can be chosen well.
  if (options_.temperature == 0 || !std::isfinite(best)) return likeliest;

  const float least = options_.min_p > 0 ? best + std::log(options_.min_p) : -infinity;
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < logits.size()) {
    select(logits, options_.top_k);
    double total = 0;
    for (const Candidate& c : candidates_) total += std::exp(double{c.logit} - best);
    keep_top_p(total, best);
  } else if (options_.top_p < 1) {
    select_top_p(logits, best);
  } else {
    candidates_.clear();
    for (size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] >= least) candidates_.push_back({logits[i], static_cast<TokenId>(i)});
    }
  }
  std::erase_if(candidates_, [&](const Candidate& c) { return c.logit < least; });
  return draw(best);
}

/// Divides positive and multiplies negative logits of seen tokens, once however often they were seen.
std::span<const float> Sampler::penalized(std::span<const float> logits, std::span<const TokenId> history) {
  size_t window = history.size();
  if (options_.repetition_window >= 0)
    window = std::min(window, static_cast<size_t>(options_.repetition_window));
  std::vector<TokenId> seen(history.end() - window, history.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  penalized_.assign(logits.begin(), logits.end());
  for (const TokenId id : seen) {
    if (id < 0 || static_cast<size_t>(id) >= penalized_.size()) continue;
    float& logit = penalized_[id];
    logit = logit > 0 ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
  }
  return penalized_;
}

/// The candidates become the `count` likeliest tokens, in order; fewer where fewer are possible at all.
void Sampler::select(std::span<const float> logits, size_t count) {
  candidates_.clear();
  const size_t capacity = std::max<size_t>(2 * count, 64);
  float floor = -infinity;  // count tokens with at least this are known: later ones must be above it
  const auto look_at = [&](size_t i) {
    if (!(logits[i] > floor)) return;
    candidates_.push_back({logits[i], static_cast<TokenId>(i)});
    if (candidates_.size() < capacity) return;
    std::nth_element(candidates_.begin(), candidates_.begin() + (count - 1), candidates_.end(), before);
    candidates_.resize(count);
    floor = candidates_.back().logit;
  };
  size_t i = 0;
  for (; i + block <= logits.size(); i += block) {
    if (!(largest_of_block(&logits[i]) > floor)) continue;
    for (size_t j = i; j < i + block; ++j) look_at(j);
  }
  for (; i < logits.size(); ++i) look_at(i);
  const size_t n = std::min(count, candidates_.size());
  std::partial_sort(candidates_.begin(), candidates_.begin() + n, candidates_.end(), before);
  candidates_.resize(n);
}

/// The same for the fewest that reach top-p of all. As a rule a few tokens do.
void Sampler::select_top_p(std::span<const float> logits, float best) {
  const double total = std::exp(log_sum(logits) - best);
  for (size_t count = 256;; count *= 8) {
    select(logits, std::min(count, logits.size()));
    const size_t selected = candidates_.size();
    keep_top_p(total, best);
    if (candidates_.size() < selected || count >= logits.size()) return;
  }
}

/// Of candidates in order, keeps the fewest whose weights e^(logit - best) reach top-p of `total`.
void Sampler::keep_top_p(double total, float best) {
  const double enough = options_.top_p * total;
  double sum = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    sum += std::exp(double{candidates_[i].logit} - best);
    if (sum >= enough) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

TokenId Sampler::draw(float best) {
  weights_.clear();
  double total = 0;
  for (const Candidate& c : candidates_) {
    weights_.push_back(std::exp((double{c.logit} - best) / options_.temperature));
    total += weights_.back();
  }
  double left = random_.uniform() * total;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    left -= weights_[i];
    if (left < 0) return candidates_[i].id;
  }
  return candidates_.back().id;
}

}  // namespace carat
