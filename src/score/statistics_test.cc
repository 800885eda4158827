#include "score/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace carat {
namespace {

TEST(Statistics, MeanAndItsStandardError) {
  const std::vector<double> x = {1, 2, 4, 9};
  const Estimate e = estimate(x);
  EXPECT_DOUBLE_EQ(e.mean, 4);
  // Sum of squared deviations 9 + 4 + 0 + 25 = 38, over n - 1 = 3 and n = 4.
  EXPECT_DOUBLE_EQ(e.standard_error, std::sqrt(38.0 / 3 / 4));
  EXPECT_EQ(estimate(std::vector<double>{5}).standard_error, 0);
  EXPECT_EQ(estimate({}).mean, 0);
}

TEST(Statistics, SpreadSurvivesALargeMean) {
  const std::vector<double> x = {1e9 + 1, 1e9 + 2, 1e9 + 3};
  EXPECT_NEAR(estimate(x).standard_error, std::sqrt(1.0 / 3), 1e-9);
}

TEST(Statistics, PercentilesAreLinearBetweenNeighbours) {
  const std::vector<double> x = {0, 10, 20, 30, 40};
  EXPECT_DOUBLE_EQ(percentile(x, 0), 0);
  EXPECT_DOUBLE_EQ(percentile(x, 0.5), 20);
  EXPECT_DOUBLE_EQ(percentile(x, 0.9), 36);
  EXPECT_DOUBLE_EQ(percentile(x, 1), 40);
  EXPECT_DOUBLE_EQ(percentile(std::vector<double>{7}, 0.99), 7);
}

TEST(Statistics, DistributionSortsForItself) {
  std::vector<double> x;
  for (int i = 1000; i >= 0; --i) x.push_back(i);
  const Distribution d = distribution(x);
  EXPECT_DOUBLE_EQ(d.mean.mean, 500);
  EXPECT_DOUBLE_EQ(d.median, 500);
  EXPECT_DOUBLE_EQ(d.p90, 900);
  EXPECT_DOUBLE_EQ(d.p95, 950);
  EXPECT_DOUBLE_EQ(d.p99, 990);
  EXPECT_NEAR(d.p999, 999, 1e-9);
  EXPECT_DOUBLE_EQ(d.max, 1000);
}

TEST(Statistics, Correlation) {
  std::vector<double> a, b, c;
  Random random(4);
  for (int i = 0; i < 1000; ++i) {
    a.push_back(random.normal());
    b.push_back(-3 * a.back() + 5);
    c.push_back(random.normal());
  }
  EXPECT_NEAR(correlation(a, a), 1, 1e-12);
  EXPECT_NEAR(correlation(a, b), -1, 1e-12);
  EXPECT_NEAR(correlation(a, c), 0, 0.1);
  EXPECT_EQ(correlation(a, std::vector<double>(1000, 2.0)), 0);
}

}  // namespace
}  // namespace carat
