#include "statistics/percentiles.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace carat {
namespace {

std::vector<double> one_to(int n) {
  std::vector<double> out;
  for (int i = n; i >= 1; --i) out.push_back(i);
  return out;
}

TEST(Percentiles, ValuesAndOrderStatistics) {
  const PercentileEstimate median = estimate_percentile(one_to(100), 0.5, 0.95);
  EXPECT_DOUBLE_EQ(median.value, 50.5);
  // The classical table: values number 40 and 61 of 100 hold the median with at least 95 %.
  EXPECT_DOUBLE_EQ(median.interval.low, 40);
  EXPECT_DOUBLE_EQ(median.interval.high, 61);
  EXPECT_DOUBLE_EQ(estimate_percentile(one_to(5), 0.95, 0.95).value, 4.8);
  EXPECT_DOUBLE_EQ(estimate_percentile(one_to(1), 0.95, 0.95).value, 1);
}

TEST(Percentiles, FewValuesDoNotBoundATail) {
  // 0.95^n <= 0.025 from n = 72 on.
  EXPECT_TRUE(std::isinf(estimate_percentile(one_to(71), 0.95, 0.95).interval.high));
  EXPECT_DOUBLE_EQ(estimate_percentile(one_to(72), 0.95, 0.95).interval.high, 72);
  EXPECT_TRUE(std::isinf(percentile_ratio_interval(one_to(71), one_to(71), 0.95, 0.95).high));
  EXPECT_EQ(estimate_percentile({}, 0.5, 0.95).items, 0);
  EXPECT_TRUE(std::isinf(estimate_percentile({}, 0.5, 0.95).interval.high));
}

TEST(Percentiles, IntervalsCover) {
  Random random(9);
  int covered = 0, ratio_covered = 0;
  double gained = 0;
  constexpr int kTrials = 150;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> a, b;
    for (int i = 0; i < 200; ++i) {
      const double item = random.normal();
      a.push_back(std::exp(item + 0.2 * random.normal()));
      b.push_back(1.3 * std::exp(item + 0.2 * random.normal()));
    }
    const double truth = std::exp(1.2815515655 * std::sqrt(1.04));  // the 90th percentile of a
    const Interval i = estimate_percentile(a, 0.9, 0.95).interval;
    covered += i.low <= truth && truth <= i.high;
    const Interval r = percentile_ratio_interval(a, b, 0.9, 0.95);
    ratio_covered += r.low <= 1.3 && 1.3 <= r.high;
    gained += std::log(i.high / i.low) - std::log(r.high / r.low);
  }
  EXPECT_GE(covered, 0.92 * kTrials);
  EXPECT_GE(ratio_covered, 0.91 * kTrials);
  EXPECT_GT(gained, 0);  // the ratio of pairs is surer than either percentile
}

}  // namespace
}  // namespace carat
