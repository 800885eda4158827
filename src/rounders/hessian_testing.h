// Hessians for tests, and factors written out.
#pragma once

#include <cmath>
#include <vector>

#include "base/random.h"
#include "kernels/kernel_table.h"
#include "rounders/hessian.h"

namespace carat {

/// sum x x^T of `tokens` inputs as layers have them: a few common directions, scales that differ from column
/// to column, and two columns of outliers.
inline std::vector<float> typical_hessian(int64_t columns, int64_t tokens, uint64_t seed) {
  Random random(seed);
  const auto n = static_cast<size_t>(columns);
  constexpr size_t kDirections = 8;
  std::vector<double> scale(n), direction(n * kDirections), x(n), h(n * n);
  for (double& s : scale) s = std::exp(0.7 * random.normal());
  scale[n / 3] *= 20, scale[n / 2] *= 8;
  for (double& d : direction) d = random.normal();
  for (int64_t t = 0; t < tokens; ++t) {
    double common[kDirections];
    for (double& c : common) c = random.normal();
    for (size_t i = 0; i < n; ++i) {
      double sum = random.normal();
      for (size_t d = 0; d < kDirections; ++d) sum += 0.4 * common[d] * direction[i * kDirections + d];
      x[i] = scale[i] * sum;
    }
    for (size_t i = 0; i < n; ++i)
      for (size_t j = i; j < n; ++j) h[i * n + j] += x[i] * x[j];
  }
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < i; ++j) h[i * n + j] = h[j * n + i];
  return {h.begin(), h.end()};
}

inline Result<FeedbackFactor> factor_of(const std::vector<float>& hessian, int64_t columns,
                                        const FeedbackOptions& options, Isa isa = available_isas().front(),
                                        int threads = 1) {
  ThreadPool pool(threads);
  Cancellation never;
  Progress silent;
  return prepare_feedback({pool, never, silent}, *kernel_table(isa), hessian, columns, options);
}

/// The Hessian that is to be factored, in double, by column.
inline std::vector<double> regularised(const std::vector<float>& h, int64_t n, double shrink, double damp) {
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += h[static_cast<size_t>(i * n + i)] / static_cast<double>(n);
  std::vector<double> m(h.begin(), h.end());
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double& x = m[static_cast<size_t>(i * n + j)];
      if (i != j)
        x *= 1 - shrink;
      else if (x == 0)
        x = mean * (1 + damp);
      else
        x += damp * mean;
    }
  return m;
}

/// A, [columns, columns] by positions.
inline std::vector<double> upper_factor(const FeedbackFactor& f) {
  const int64_t n = f.columns;
  std::vector<double> a(static_cast<size_t>(n * n));
  const auto diagonal = [&](int64_t k) {
    const auto column = static_cast<size_t>(f.order.empty() ? k : f.order[static_cast<size_t>(k)]);
    // A dead column's is known to tests only.
    return f.weight[column] > 0 ? std::sqrt(f.unit * f.weight[column]) : std::nan("");
  };
  size_t at = 0;
  for (int64_t s = 0; s < n / kFeedbackSlice; ++s)
    for (int64_t j = 0; j < (s + 1) * kFeedbackSlice; ++j)
      for (int64_t k = s * kFeedbackSlice; k < (s + 1) * kFeedbackSlice; ++k) {
        const double ratio = f.slices[at++];
        a[static_cast<size_t>(j * n + k)] = j == k ? diagonal(k) : ratio == 0 ? 0 : ratio * diagonal(k);
      }
  return a;
}

}  // namespace carat
