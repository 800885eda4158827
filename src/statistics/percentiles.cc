#include "statistics/percentiles.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"
#include "statistics/distributions.h"

namespace carat {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kResamples = 1999;
constexpr uint64_t kSeed = 0x70657263;

// Reorders `values`, which must not be empty.
double percentile_of(std::vector<double>& values, double fraction) {
  const double place = fraction * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(below);
  std::nth_element(values.begin(), at, values.end());
  if (below + 1 == values.size()) return *at;
  const double next = *std::min_element(at + 1, values.end());
  return *at + (place - static_cast<double>(below)) * (next - *at);
}

// The smallest k in [0, n + 1] for which `holds`, which is true from some k on.
template <class F>
int64_t first_where(int64_t n, F holds) {
  int64_t low = 0, high = n + 1;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (holds(middle))
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

}  // namespace

PercentileEstimate estimate_percentile(std::span<const double> values, double fraction, double confidence) {
  PercentileEstimate out;
  out.items = static_cast<int64_t>(values.size());
  out.interval = {-kInfinity, kInfinity};
  if (values.empty()) return out;
  std::vector<double> sorted(values.begin(), values.end());
  out.value = percentile_of(sorted, fraction);
  std::sort(sorted.begin(), sorted.end());
  const double alpha = (1 - confidence) / 2;
  const int64_t n = out.items;
  // Value number k (from 1) is above the percentile unless at least k values lie below it, and below the
  // percentile unless at most k - 1 values do.
  const int64_t above = first_where(n, [&](int64_t k) { return binomial_at_least(k, n, fraction) <= alpha; });
  const int64_t not_below =
      first_where(n, [&](int64_t k) { return binomial_at_most(k - 1, n, fraction) > alpha; });
  if (above <= n) out.interval.high = sorted[static_cast<size_t>(above - 1)];
  if (not_below > 1) out.interval.low = sorted[static_cast<size_t>(not_below - 2)];
  return out;
}

Interval percentile_ratio_interval(std::span<const double> baseline, std::span<const double> candidate,
                                   double fraction, double confidence) {
  Interval out{0, kInfinity};
  if (baseline.empty()) return out;
  const Interval first = estimate_percentile(baseline, fraction, confidence).interval;
  const Interval second = estimate_percentile(candidate, fraction, confidence).interval;
  Random random(kSeed);
  const uint64_t n = baseline.size();
  std::vector<double> ratios, a(n), b(n);
  for (int i = 0; i < kResamples; ++i) {
    for (uint64_t k = 0; k < n; ++k) {
      const uint64_t item = (random.next() >> 32) * n >> 32;
      a[k] = baseline[item], b[k] = candidate[item];
    }
    ratios.push_back(percentile_of(b, fraction) / percentile_of(a, fraction));
  }
  std::sort(ratios.begin(), ratios.end());
  const auto tail = static_cast<size_t>((kResamples + 1) * (1 - confidence) / 2);
  if (tail == 0) return out;
  if (std::isfinite(second.low) && std::isfinite(first.high)) out.low = ratios[tail - 1];
  if (std::isfinite(second.high) && std::isfinite(first.low)) out.high = ratios[ratios.size() - tail];
  return out;
}

}  // namespace carat
