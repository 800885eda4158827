#include "statistics/estimates.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "statistics/distributions.h"

namespace carat {
namespace {

TEST(Estimates, IndependentItemsGiveTheTextbookError) {
  const std::vector<double> values{1, 2, 4, 7};
  const MeanEstimate m = estimate_mean(values, {}, {});
  EXPECT_DOUBLE_EQ(m.mean, 3.5);
  EXPECT_DOUBLE_EQ(m.standard_error, std::sqrt((6.25 + 2.25 + 0.25 + 12.25) / 3 / 4));
  EXPECT_NEAR(m.interval.high - m.mean, 3.182446 * m.standard_error, 1e-5);  // t(0.975, 3)
  EXPECT_EQ(m.items, 4);
  EXPECT_EQ(m.clusters, 4);
}

TEST(Estimates, CopiesOfAnItemAreWorthOneItem) {
  Random random(1);
  std::vector<double> once, copies;
  std::vector<int64_t> clusters;
  for (int64_t c = 0; c < 20; ++c) {
    once.push_back(random.normal());
    for (int i = 0; i < 5; ++i) copies.push_back(once.back()), clusters.push_back(1000 - c);
  }
  const MeanEstimate a = estimate_mean(once, {}, {}), b = estimate_mean(copies, {}, clusters);
  EXPECT_NEAR(a.standard_error, b.standard_error, 1e-14);
  EXPECT_NEAR(a.interval.low, b.interval.low, 1e-13);
  EXPECT_EQ(b.clusters, 20);
}

TEST(Estimates, WeightsCountLikeRepetitions) {
  const std::vector<double> values{2, 5, 3}, weights{1, 3, 2};
  const std::vector<double> repeated{2, 5, 5, 5, 3, 3};
  const std::vector<int64_t> clusters{0, 1, 1, 1, 2, 2};
  const MeanEstimate a = estimate_mean(values, weights, {}), b = estimate_mean(repeated, {}, clusters);
  EXPECT_DOUBLE_EQ(a.mean, b.mean);
  EXPECT_NEAR(a.standard_error, b.standard_error, 1e-15);
}

TEST(Estimates, BinaryIntervalsAreExact) {
  std::vector<double> values(10, 0.0);
  const MeanEstimate none = estimate_mean(values, {}, {});
  EXPECT_EQ(none.interval.low, 0);
  EXPECT_NEAR(none.interval.high, 0.3084971, 1e-7);  // Clopper-Pearson, 0 of 10
  values[0] = values[1] = values[2] = 1;
  const MeanEstimate three = estimate_mean(values, {}, {});
  EXPECT_NEAR(three.interval.low, 0.0667395, 1e-7);
  EXPECT_NEAR(three.interval.high, 0.6524529, 1e-7);
}

TEST(Estimates, NoIntervalHasWidthZero) {
  for (const double value : {0.0, 1.0, 0.25, -3.0}) {
    for (const size_t n : {1u, 2u, 3u, 1000u}) {
      const std::vector<double> values(n, value);
      std::vector<int64_t> clusters;
      for (size_t i = 0; i < n; ++i) clusters.push_back(static_cast<int64_t>(i / 2));
      for (const auto& c : {std::vector<int64_t>{}, clusters}) {
        const MeanEstimate m = estimate_mean(values, {}, c);
        EXPECT_GT(m.interval.high - m.interval.low, 0.001) << value << " x " << n;
        EXPECT_LE(m.interval.low, value);
        EXPECT_GE(m.interval.high, value);
      }
    }
  }
  const MeanEstimate nothing = estimate_mean({}, {}, {});
  EXPECT_EQ(nothing.items, 0);
  EXPECT_TRUE(std::isinf(nothing.interval.high));
}

// Shares whose clusters (50 of 10) lean one way: the interval must hold its 95 %, the naive one does not.
TEST(Estimates, ClusteredSharesAreCovered) {
  Random random(7);
  int covered = 0, naive = 0;
  constexpr int kTrials = 1000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values;
    std::vector<int64_t> clusters;
    for (int64_t c = 0; c < 50; ++c) {
      const double p = random.uniform() < 0.7 ? 0.95 : 0.1;
      for (int i = 0; i < 10; ++i) values.push_back(random.uniform() < p), clusters.push_back(c);
    }
    const double truth = 0.7 * 0.95 + 0.3 * 0.1;
    const auto holds = [&](const MeanEstimate& m) {
      return m.interval.low <= truth && truth <= m.interval.high;
    };
    covered += holds(estimate_mean(values, {}, clusters));
    naive += holds(estimate_mean(values, {}, {}));
  }
  EXPECT_GE(covered, 0.94 * kTrials);
  EXPECT_LT(naive, 0.7 * kTrials);
}

}  // namespace
}  // namespace carat
