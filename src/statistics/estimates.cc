#include "statistics/estimates.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <vector>

#include "statistics/distributions.h"

namespace carat {
namespace {

constexpr double kConfidence = 0.95, kTail = (1 - kConfidence) / 2;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
// What sums of rounded terms may leave of a spread that is not there.
constexpr double kRounding = 1e-12;

bool all_alike(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; });
}

bool binary(std::span<const double> values, std::span<const double> weights) {
  return all_alike(weights) &&
         std::all_of(values.begin(), values.end(), [](double v) { return v == 0 || v == 1; });
}

Interval share_interval(const MeanEstimate& m) {
  if (m.clusters < 2) return {0, 1};
  const double p = m.mean, n = static_cast<double>(m.items), groups = static_cast<double>(m.clusters);
  double trials = n;
  if (m.clusters < m.items) {
    if (p == 0 || p == 1) {
      trials = groups;
    } else {
      const double design = m.standard_error > 0 ? p * (1 - p) / (m.standard_error * m.standard_error) : n;
      const double ratio = student_quantile(1 - kTail, n - 1) / student_quantile(1 - kTail, groups - 1);
      trials = std::min(n, design) * ratio * ratio;
    }
  }
  return exact_share(p * trials, trials, kConfidence);
}

Interval mean_interval(const MeanEstimate& m, std::span<const double> values) {
  if (m.clusters < 2) return {-kInfinity, kInfinity};
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double size = std::max(std::abs(*low), std::abs(*high));
  double half = student_quantile(1 - kTail, static_cast<double>(m.clusters - 1)) * m.standard_error;
  if (m.standard_error <= kRounding * size) {
    half = hidden_share(static_cast<double>(m.clusters), kTail) * (size > 0 ? size : 1);
  }
  return {m.mean - half, m.mean + half};
}

}  // namespace

MeanEstimate estimate_mean(std::span<const double> values, std::span<const double> weights,
                           std::span<const int64_t> clusters) {
  MeanEstimate out;
  out.items = static_cast<int64_t>(values.size());
  if (values.empty()) {
    out.interval = {-kInfinity, kInfinity};
    return out;
  }
  const auto weight = [&](size_t i) { return weights.empty() ? 1.0 : weights[i]; };
  double sum = 0, total = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += weight(i) * values[i], total += weight(i);
  out.mean = sum / total;

  std::unordered_map<int64_t, size_t> places;
  std::vector<double> residuals;  // in order of first appearance, so that sums do not depend on the hashes
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t cluster = clusters.empty() ? static_cast<int64_t>(i) : clusters[i];
    const auto [at, is_new] = places.try_emplace(cluster, residuals.size());
    if (is_new) residuals.push_back(0);
    residuals[at->second] += weight(i) * (values[i] - out.mean);
  }
  out.clusters = static_cast<int64_t>(residuals.size());
  if (out.clusters > 1) {
    double squares = 0;
    for (const double r : residuals) squares += r * r;
    const double groups = static_cast<double>(out.clusters);
    out.standard_error = std::sqrt(squares * groups / (groups - 1)) / total;
  }
  out.interval = binary(values, weights) ? share_interval(out) : mean_interval(out, values);
  return out;
}

}  // namespace carat
