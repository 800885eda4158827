#include "rounders/hessian.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"
#include "kernels/kernel_table.h"
#include "rounders/hessian_testing.h"

namespace carat {
namespace {

/// The greatest difference between A A^T and the matrix, relative to its mean diagonal.
double distance(const FeedbackFactor& f, const std::vector<double>& m) {
  const int64_t n = f.columns;
  const auto a = upper_factor(f);
  const auto column = [&](int64_t p) { return f.order.empty() ? p : f.order[static_cast<size_t>(p)]; };
  double worst = 0, mean = 0;
  for (int64_t i = 0; i < n; ++i) {
    mean += m[static_cast<size_t>(i * n + i)] / static_cast<double>(n);
    for (int64_t j = i; j < n; ++j) {
      double sum = 0;
      for (int64_t k = j; k < n; ++k)
        sum += a[static_cast<size_t>(i * n + k)] * a[static_cast<size_t>(j * n + k)];
      worst = std::max(worst, std::fabs(sum - m[static_cast<size_t>(column(i) * n + column(j))]));
    }
  }
  return worst / mean;
}

TEST(Hessian, FactorGivesTheRegularisedMatrixBack) {
  for (const int64_t n : {32, 64, 96, 256, 352})
    for (const ColumnOrder order : {ColumnOrder::natural, ColumnOrder::descending})
      for (const Isa isa : available_isas()) {
        const auto h = typical_hessian(n, 4 * n, 1);
        const auto f = factor_of(h, n, {.shrink = 0.3, .damp = 0.02, .order = order}, isa);
        ASSERT_TRUE(f) << f.error().message;
        EXPECT_EQ(f->damping, 0.02);
        EXPECT_EQ(f->dead_columns, 0);
        EXPECT_LT(distance(*f, regularised(h, n, 0.3, 0.02)), 2e-6)
            << n << static_cast<int>(order) << isa_name(isa);
      }
}

TEST(Hessian, DescendingOrderGoesByTheDiagonal) {
  const int64_t n = 64;
  const auto h = typical_hessian(n, 200, 2);
  const auto f = factor_of(h, n, {.order = ColumnOrder::descending});
  ASSERT_TRUE(f);
  for (size_t p = 1; p < f->order.size(); ++p) {
    const auto diagonal = [&](size_t q) { return h[static_cast<size_t>(f->order[q] * n + f->order[q])]; };
    EXPECT_GE(diagonal(p - 1), diagonal(p));
  }
}

TEST(Hessian, GroupedOrderKeepsBlocksAndLeavesTogether) {
  const int64_t n = 512, block = 256, leaf = 32;
  const auto h = typical_hessian(n, 600, 2);
  const auto f = factor_of(h, n, {.order = ColumnOrder::grouped, .block = block, .leaf = leaf});
  ASSERT_TRUE(f);
  const auto diagonal = [&](int64_t p) {
    const int64_t c = f->order[static_cast<size_t>(p)];
    return h[static_cast<size_t>(c * n + c)];
  };
  std::vector<bool> seen(n);
  for (int64_t p = 0; p < n; ++p) {
    const int64_t c = f->order[static_cast<size_t>(p)];
    EXPECT_FALSE(seen[static_cast<size_t>(c)]);
    seen[static_cast<size_t>(c)] = true;
    EXPECT_EQ(c / leaf, f->order[static_cast<size_t>(p / leaf * leaf)] / leaf);
    EXPECT_EQ(c / block, f->order[static_cast<size_t>(p / block * block)] / block);
    if (p % leaf != 0) {
      EXPECT_LE(diagonal(p), diagonal(p - 1));
    } else if (p % block != 0) {
      EXPECT_LE(diagonal(p), diagonal(p - leaf));
    } else if (p != 0) {
      EXPECT_LE(diagonal(p), diagonal(p - block));
    }
  }
  EXPECT_LT(distance(*f, regularised(h, n, 0.4, 0.05)), 2e-6);
  EXPECT_FALSE(factor_of(h, n, {.order = ColumnOrder::grouped}));
}

TEST(Hessian, TheFactorDependsOnNeitherThreadsNorInstructionSetNorTheHessiansUnit) {
  const int64_t n = 320;
  auto h = typical_hessian(n, 700, 3);
  const auto one = factor_of(h, n, {}), three = factor_of(h, n, {}, available_isas().front(), 3);
  ASSERT_TRUE(one && three);
  EXPECT_EQ(one->slices, three->slices);
  EXPECT_EQ(one->weight, three->weight);
  for (const Isa isa : available_isas()) EXPECT_EQ(factor_of(h, n, {}, isa)->slices, one->slices);
  for (float& x : h) x *= 1024;
  const auto larger = factor_of(h, n, {});
  EXPECT_EQ(larger->slices, one->slices);
  EXPECT_EQ(larger->unit, 1024 * one->unit);
}

TEST(Hessian, DeadColumnsTakeNoPart) {
  const int64_t n = 96;
  auto h = typical_hessian(n, 300, 4);
  for (const int64_t dead : {0, 17, 95})
    for (int64_t i = 0; i < n; ++i)
      h[static_cast<size_t>(dead * n + i)] = h[static_cast<size_t>(i * n + dead)] = 0;
  const auto f = factor_of(h, n, {});
  ASSERT_TRUE(f);
  EXPECT_EQ(f->dead_columns, 3);
  EXPECT_EQ(f->damping, 0.05);
  EXPECT_EQ(f->weight[17], 0);
  EXPECT_GT(f->weight[18], 0);
  EXPECT_LT(distance(*f, regularised(h, n, 0.4, 0.05)), 2e-6);
  const auto a = upper_factor(*f);
  for (int64_t i = 0; i < n; ++i)
    if (i != 17) {
      EXPECT_EQ(a[static_cast<size_t>(std::min<int64_t>(i, 17) * n + std::max<int64_t>(i, 17))], 0);
    }
}

// Fewer tokens than columns, neither shrunk nor damped: the ladder finds what is needed, and says so.
TEST(Hessian, DampingIsRaisedUntilItFactors) {
  const int64_t n = 128;
  const auto h = typical_hessian(n, 40, 5);
  const auto f = factor_of(h, n, {.shrink = 0, .damp = 0});
  ASSERT_TRUE(f) << f.error().message;
  EXPECT_EQ(f->damping, 0.01);
  EXPECT_LT(distance(*f, regularised(h, n, 0, 0.01)), 1e-5);

  auto indefinite = h;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      if (i != j) indefinite[static_cast<size_t>(i * n + j)] *= 3;
  const auto none = factor_of(indefinite, n, {.shrink = 0});
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("does not factor"), std::string::npos);
}

TEST(Hessian, WhatCannotBeAHessianIsRefused) {
  const int64_t n = 32;
  const auto good = typical_hessian(n, 100, 6);
  const auto refused = [&](int64_t at, float value, std::string_view word) {
    auto h = good;
    h[static_cast<size_t>(at)] = value;
    const auto f = factor_of(h, n, {});
    ASSERT_FALSE(f) << word;
    EXPECT_EQ(f.error().code, Code::bad_data);
    EXPECT_NE(f.error().message.find(word), std::string::npos) << f.error().message;
  };
  refused(5 * n + 9, std::numeric_limits<float>::quiet_NaN(), "row 5");
  refused(31 * n + 31, std::numeric_limits<float>::infinity(), "row 31");
  refused(3 * n + 3, -1.0f, "column 3");
  EXPECT_FALSE(factor_of(std::vector<float>(n * n), n, {}));
  EXPECT_FALSE(factor_of(std::vector<float>(33 * 33, 1.0f), 33, {}));
  EXPECT_FALSE(factor_of(std::vector<float>(31 * 32, 1.0f), 32, {}));
  EXPECT_FALSE(factor_of(good, n, {.shrink = 1.5}));
  EXPECT_FALSE(factor_of(good, n, {.damp = std::nan("")}));
}

TEST(Hessian, LossIsTheTraceOverAllRows) {
  const int64_t n = 64, rows = 300;
  const auto h = typical_hessian(n, 200, 8);
  Random random(9);
  std::vector<float> w(rows * n), q(rows * n);
  double expected = 0;
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<double> d;
    for (int64_t c = 0; c < n; ++c) {
      const auto at = static_cast<size_t>(r * n + c);
      w[at] = static_cast<float>(random.normal()), q[at] = w[at] + static_cast<float>(0.1 * random.normal());
      d.push_back(static_cast<double>(w[at]) - q[at]);
    }
    for (size_t i = 0; i < d.size(); ++i)
      for (size_t j = 0; j < d.size(); ++j) expected += d[i] * d[j] * h[i * d.size() + j];
  }
  ThreadPool pool(2);
  Cancellation never;
  Progress silent;
  const Context context{pool, never, silent};
  for (const Isa isa : available_isas()) {
    const auto loss = feedback_loss(context, *kernel_table(isa), h, n, w, q);
    ASSERT_TRUE(loss);
    EXPECT_NEAR(*loss, expected, 1e-5 * expected) << isa_name(isa);
  }
  EXPECT_FALSE(feedback_loss(context, *kernel_table(Isa::portable), h, n + 1, w, q));
}

TEST(Hessian, FactoringStopsWhenAskedTo) {
  ThreadPool pool(1);
  Cancellation cancelled;
  cancelled.request();
  Progress silent;
  const auto h = typical_hessian(64, 200, 7);
  const auto f = prepare_feedback({pool, cancelled, silent}, *kernel_table(Isa::portable), h, 64, {});
  ASSERT_FALSE(f);
  EXPECT_EQ(f.error().code, Code::interrupted);
}

}  // namespace
}  // namespace carat
