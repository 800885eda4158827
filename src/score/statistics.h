// Summaries of per-token figures.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace carat {

struct Estimate {
  double mean = 0;
  double standard_error = 0;  ///< of the mean, tokens taken as independent; 0 for fewer than two
};
Estimate estimate(std::span<const double> values);

/// What a distribution looks like, tail included: quantization hurts few tokens much.
struct Distribution {
  Estimate mean;
  double median = 0, p90 = 0, p95 = 0, p99 = 0, p999 = 0, max = 0;
};
/// values must not be empty.
Distribution distribution(std::vector<double> values);

/// Value at `fraction` of ascending `sorted`, linear between neighbours (as llama-perplexity prints them).
double percentile(std::span<const double> sorted, double fraction);

/// Pearson's; 0 where either does not vary.
double correlation(std::span<const double> a, std::span<const double> b);

}  // namespace carat
