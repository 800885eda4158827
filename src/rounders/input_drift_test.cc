// Weights that make up for what inputs have lost, against the definition in double.
#include "rounders/input_drift.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "rounders/feedback_solve.h"
#include "rounders/hessian_testing.h"

namespace carat {
namespace {

/// x with m x^T = b^T, by elimination.
std::vector<double> solved(std::vector<double> m, std::vector<double> b) {
  const size_t n = b.size();
  for (size_t k = 0; k < n; ++k)
    for (size_t i = k + 1; i < n; ++i) {
      const double f = m[i * n + k] / m[k * n + k];
      for (size_t j = k; j < n; ++j) m[i * n + j] -= f * m[k * n + j];
      b[i] -= f * b[k];
    }
  for (size_t k = n; k-- > 0;) {
    for (size_t j = k + 1; j < n; ++j) b[k] -= m[k * n + j] * b[j];
    b[k] /= m[k * n + k];
  }
  return b;
}

std::vector<float> noise(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<float>(random.normal()));
  return out;
}

struct Solver {
  explicit Solver(int threads = 2) : pool(threads) {}
  ThreadPool pool;
  Cancellation cancellation;
  Progress silent;
  Context context() { return {pool, cancellation, silent}; }
};

TEST(FeedbackSolve, MultipliesByTheInverse) {
  constexpr int64_t kRows = 5;
  for (const int64_t n : {32, 96, 256, 352, 544})
    for (const ColumnOrder order : {ColumnOrder::natural, ColumnOrder::descending})
      for (const Isa isa : available_isas()) {
        const auto h = typical_hessian(n, 4 * n, 1);
        const auto f = factor_of(h, n, {.shrink = 0.3, .damp = 0.02, .order = order}, isa);
        ASSERT_TRUE(f.ok());
        const auto m = regularised(h, n, 0.3, 0.02);
        const auto b = noise(kRows * n, 2);
        auto x = b;
        Solver s;
        ASSERT_TRUE(solve_feedback(s.context(), *kernel_table(isa), *f, x).ok());
        for (int64_t r = 0; r < kRows; ++r) {
          const auto expected = solved(m, {b.begin() + r * n, b.begin() + (r + 1) * n});
          double error = 0, norm = 0;
          for (int64_t i = 0; i < n; ++i) {
            const double e = expected[static_cast<size_t>(i)];
            error += std::pow(x[static_cast<size_t>(r * n + i)] - e, 2), norm += e * e;
          }
          EXPECT_LT(error, 1e-9 * norm) << n << " " << isa_name(isa);
        }
      }
}

TEST(FeedbackSolve, LeavesColumnsAloneThatNoTokenUsed) {
  constexpr int64_t n = 64;
  auto h = typical_hessian(n, 4 * n, 3);
  for (int64_t i = 0; i < n; ++i) h[static_cast<size_t>(5 * n + i)] = h[static_cast<size_t>(i * n + 5)] = 0;
  const auto f = factor_of(h, n, {});
  ASSERT_TRUE(f.ok());
  auto x = noise(n, 4), other = x;
  other[5] = 1000;
  Solver s;
  for (auto* v : {&x, &other})
    ASSERT_TRUE(solve_feedback(s.context(), *kernel_table(available_isas().front()), *f, *v).ok());
  EXPECT_EQ(x[5], 0);
  EXPECT_EQ(x, other);
}

TEST(FeedbackSolve, RowsDependOnNeitherEachOtherNorThreads) {
  constexpr int64_t n = 544, kRows = 300;
  const auto f = factor_of(typical_hessian(n, 2 * n, 5), n, {});
  ASSERT_TRUE(f.ok());
  const auto b = noise(kRows * n, 6);
  for (const Isa isa : available_isas()) {
    auto all = b;
    Solver three(3);
    ASSERT_TRUE(solve_feedback(three.context(), *kernel_table(isa), *f, all).ok());
    std::vector<float> parts;
    Solver one(1);
    for (const int64_t first : {0, 1, 8, 290}) {
      const int64_t last = first == 0 ? 1 : first == 1 ? 8 : first == 8 ? 290 : kRows;
      std::vector<float> part(b.begin() + first * n, b.begin() + last * n);
      ASSERT_TRUE(solve_feedback(one.context(), *kernel_table(isa), *f, part).ok());
      parts.insert(parts.end(), part.begin(), part.end());
    }
    EXPECT_TRUE(parts == all) << isa_name(isa);
  }
}

TEST(FeedbackSolve, StopsWhenAskedTo) {
  const auto f = factor_of(typical_hessian(64, 128, 5), 64, {});
  ASSERT_TRUE(f.ok());
  Solver s;
  s.cancellation.request();
  auto x = noise(64, 1);
  EXPECT_EQ(solve_feedback(s.context(), *kernel_table(available_isas().front()), *f, x).error().code,
            Code::interrupted);
}

/// Inputs x, and x + d with d a linear function of x: the weights that have the same outputs are known.
TEST(InputDrift, WeightsThatUndoALinearChangeAreFound) {
  constexpr int64_t n = 96, kTokens = 600, kRows = 7;
  const auto x = noise(kTokens * n, 7);
  std::vector<double> change(n * n);  // d = x change
  const auto values = noise(n * n, 8);
  for (int64_t i = 0; i < n * n; ++i) change[static_cast<size_t>(i)] = 0.05 * values[static_cast<size_t>(i)];
  std::vector<float> hessian(n * n), moments(n * n);
  std::vector<double> h(n * n), m(n * n);
  for (int64_t t = 0; t < kTokens; ++t) {
    const float* row = x.data() + t * n;
    for (int64_t i = 0; i < n; ++i) {
      double d = 0;
      for (int64_t k = 0; k < n; ++k) d += row[k] * change[static_cast<size_t>(k * n + i)];
      for (int64_t j = 0; j < n; ++j) {
        h[static_cast<size_t>(j * n + i)] += double{row[j]} * row[i];
        m[static_cast<size_t>(j * n + i)] += row[j] * d;
      }
    }
  }
  std::ranges::transform(h, hessian.begin(), [](double v) { return static_cast<float>(v); });
  std::ranges::transform(m, moments.begin(), [](double v) { return static_cast<float>(v); });
  const auto f = factor_of(hessian, n, {.shrink = 0, .damp = 0});
  ASSERT_TRUE(f.ok());
  const auto w = noise(kRows * n, 9);
  const SourceRows source{&encoding_f32(), reinterpret_cast<const uint8_t*>(w.data()), kRows, n};
  Solver s;
  for (const double share : {1.0, 0.5}) {
    const auto moved =
        weights_for_drift(s.context(), *kernel_table(available_isas().front()), *f, {moments, share}, source);
    ASSERT_TRUE(moved.ok());
    // W (x + d) = W (1 + change^T) x, with columns as vectors
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t j = 0; j < n; ++j) {
        double expected = w[static_cast<size_t>(r * n + j)];
        for (int64_t i = 0; i < n; ++i)
          expected += share * w[static_cast<size_t>(r * n + i)] * change[static_cast<size_t>(j * n + i)];
        EXPECT_NEAR((*moved)[static_cast<size_t>(r * n + j)], expected, 2e-4);
      }
  }
}

TEST(InputDrift, WeightsThatAreFiniteNoLongerAreAnError) {
  constexpr int64_t n = 64;
  const auto f = factor_of(typical_hessian(n, 128, 5), n, {});
  ASSERT_TRUE(f.ok());
  const auto w = noise(3 * n, 1);
  const SourceRows source{&encoding_f32(), reinterpret_cast<const uint8_t*>(w.data()), 3, n};
  Solver s;
  for (const float wrong : {std::numeric_limits<float>::infinity(), std::nanf(""), 3e38f}) {
    const std::vector<float> moments(n * n, wrong);
    const auto moved =
        weights_for_drift(s.context(), *kernel_table(available_isas().front()), *f, {moments, 1}, source);
    ASSERT_FALSE(moved.ok()) << wrong;
    EXPECT_NE(moved.error().message.find("--damp"), std::string::npos);
  }
}

TEST(InputDrift, OfAnotherMatrixIsAnError) {
  const auto f = factor_of(typical_hessian(64, 128, 5), 64, {});
  ASSERT_TRUE(f.ok());
  const auto w = noise(64, 1), moments = noise(32 * 32, 2);
  const SourceRows source{&encoding_f32(), reinterpret_cast<const uint8_t*>(w.data()), 1, 64};
  Solver s;
  EXPECT_FALSE(
      weights_for_drift(s.context(), *kernel_table(available_isas().front()), *f, {moments, 1}, source).ok());
}

}  // namespace
}  // namespace carat
