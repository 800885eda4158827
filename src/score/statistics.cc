#include "score/statistics.h"

#include <algorithm>
#include <cmath>

namespace carat {
namespace {

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

/// Sum of (a - mean a) * (b - mean b); two passes, since means are large beside the spread.
double comoment(std::span<const double> a, double mean_a, std::span<const double> b, double mean_b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - mean_a) * (b[i] - mean_b);
  return sum;
}

}  // namespace

Estimate estimate(std::span<const double> values) {
  Estimate e;
  e.mean = mean_of(values);
  const double n = static_cast<double>(values.size());
  if (values.size() > 1) e.standard_error = std::sqrt(comoment(values, e.mean, values, e.mean) / (n - 1) / n);
  return e;
}

Distribution distribution(std::vector<double> values) {
  Distribution d;
  d.mean = estimate(values);  // before sorting: the sum keeps the order of the tokens
  std::sort(values.begin(), values.end());
  d.median = percentile(values, 0.5);
  d.p90 = percentile(values, 0.9);
  d.p95 = percentile(values, 0.95);
  d.p99 = percentile(values, 0.99);
  d.p999 = percentile(values, 0.999);
  d.max = values.back();
  return d;
}

double percentile(std::span<const double> sorted, double fraction) {
  const double at = fraction * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double share = at - static_cast<double>(below);
  return (1 - share) * sorted[below] + share * sorted[above];
}

double correlation(std::span<const double> a, std::span<const double> b) {
  const double mean_a = mean_of(a), mean_b = mean_of(b);
  const double aa = comoment(a, mean_a, a, mean_a), bb = comoment(b, mean_b, b, mean_b);
  return aa > 0 && bb > 0 ? comoment(a, mean_a, b, mean_b) / std::sqrt(aa * bb) : 0;
}

}  // namespace carat
