#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "statistics/corrections.h"
#include "statistics/distributions.h"
#include "statistics/paired_clusters.h"
#include "statistics/paired_shares.h"
#include "statistics/power.h"

namespace carat {
namespace {

// Values of scipy 1.16 (binomtest) and of the formulas by hand; tools/oracle_statistics.py compares many
// more.
TEST(PairedShares, McNemarIsTheBinomialTest) {
  EXPECT_NEAR(mcnemar(8, 2).p, 56.0 / 1024, 1e-15);
  EXPECT_NEAR(mcnemar(8, 2).mid_p, (56.0 + 11.0) / 2048, 1e-15);
  EXPECT_DOUBLE_EQ(mcnemar(0, 0).p, 1);
  EXPECT_DOUBLE_EQ(mcnemar(0, 7).p, 1);
  EXPECT_NEAR(mcnemar(7, 0).p, 1.0 / 128, 1e-16);
}

// Airway reactivity before and after a transplantation (Fagerland, Lydersen and Laake 2014): changes 1 and 7
// of
// 21. Tango's interval as published: -0.517 to -0.026.
TEST(PairedShares, ScoreStatisticGivesThePublishedInterval) {
  const double z = normal_quantile(0.975);
  EXPECT_NEAR(score_statistic({21, 1, 7}, -0.517), z, 0.01);
  EXPECT_NEAR(score_statistic({21, 1, 7}, -0.026), -z, 0.01);
}

TEST(PairedShares, WithoutChangesTheRuleOfThreeHolds) {
  for (const int64_t n : {3, 50, 1000}) {
    const Interval i = damage_interval({n, 0, 0}, 0.95);
    EXPECT_NEAR(i.high, hidden_share(static_cast<double>(n), 0.025), 0.03 * i.high) << n;
    EXPECT_DOUBLE_EQ(i.low, -i.high);
  }
  EXPECT_GT(damage_interval({3, 0, 0}, 0.95).high, 0.7);
}

TEST(PairedShares, DirectionsMirror) {
  for (const PairedCounts c : {PairedCounts{100, 7, 2}, PairedCounts{400, 60, 20}, PairedCounts{10, 10, 0}}) {
    const Interval a = damage_interval(c, 0.95), b = damage_interval(c.reversed(), 0.95);
    EXPECT_DOUBLE_EQ(a.low, -b.high);
    EXPECT_LE(a.low, c.damage());
    EXPECT_GE(a.high, c.damage());
    EXPECT_DOUBLE_EQ(score_statistic(c, 0.1), -score_statistic(c.reversed(), -0.1));
  }
}

// Where the exact method gives way to the normal one, the bound does not jump.
TEST(PairedShares, ExactAndScoreBoundsMeet) {
  const Interval few = damage_interval({500, 14, 10}, 0.95), many = damage_interval({500, 15, 10}, 0.95);
  EXPECT_NEAR(few.high, many.high, 0.004);
  EXPECT_NEAR(few.low, many.low, 0.004);
}

// The exact test at its margin refuses no more often than it may, for every truth tried: the sum over all
// tables that it refuses, not a simulation.
TEST(PairedShares, ExactTestHoldsItsLevel) {
  constexpr int n = 30;
  constexpr double kMargin = 0.1, kAlpha = 0.05;
  std::vector<std::pair<double, double>> refused;
  for (int b = 0; b <= n; ++b)
    for (int c = 0; b + c <= n; ++c)
      if (exact_p_damage_at_least({n, b, c}, kMargin) <= kAlpha) refused.emplace_back(b, c);
  ASSERT_FALSE(refused.empty());
  double most = 0;
  for (double q = 0.0001; q < 0.45; q += 0.005) {
    double total = 0;
    for (const auto& [b, c] : refused) {
      total +=
          std::exp(std::lgamma(n + 1) - std::lgamma(b + 1) - std::lgamma(c + 1) - std::lgamma(n - b - c + 1) +
                   b * std::log(q + kMargin) + c * std::log(q) + (n - b - c) * std::log(1 - 2 * q - kMargin));
    }
    most = std::max(most, total);
  }
  EXPECT_LE(most, kAlpha);
  EXPECT_GT(most, 0.6 * kAlpha);  // and is not blunt
}

std::vector<ClusterSum> singles(const std::vector<double>& differences) {
  std::vector<ClusterSum> out;
  for (const double d : differences) out.push_back({d, 1});
  return out;
}

TEST(PairedClusters, SignFlipsOfSingleItemsAreMcNemar) {
  std::vector<double> d(50, 0.0);
  for (int i = 0; i < 8; ++i) d[i] = 1;
  for (int i = 8; i < 10; ++i) d[i] = -1;
  EXPECT_DOUBLE_EQ(ClusterDifference(singles(d), 1).p_sign_flip(), mcnemar(8, 2).p);
}

TEST(PairedClusters, IntervalAndPAgree) {
  Random random(3);
  for (const double sparse : {0.0, 0.95}) {
    std::vector<ClusterSum> clusters;
    for (int c = 0; c < 60; ++c)
      clusters.push_back({random.uniform() < sparse ? 0.0 : random.normal() + 0.3, 1 + random.uniform()});
    const ClusterDifference d(clusters, 1);
    for (const double confidence : {0.9, 0.95, 0.99}) {
      const Interval i = d.interval(confidence);
      const double alpha = (1 - confidence) / 2, step = 0.01 * (i.high - i.low);
      EXPECT_LE(d.p_at_least(i.high + step), alpha);
      EXPECT_GT(d.p_at_least(i.high - step), alpha);
      EXPECT_LE(d.p_at_most(i.low - step), alpha);
      EXPECT_GT(d.p_at_most(i.low + step), alpha);
    }
  }
}

TEST(PairedClusters, NothingSeenIsNotCertainty) {
  const ClusterDifference three(singles({0, 0, 0}), 1), many(singles(std::vector<double>(1000, 0.0)), 1);
  EXPECT_GT(three.interval(0.95).high, 0.7);
  EXPECT_NEAR(many.interval(0.95).high, hidden_share(1000, 0.025), 1e-4);
  EXPECT_GT(three.p_at_least(0.02), 0.9);
  EXPECT_LT(many.p_at_least(0.02), 1e-4);
  EXPECT_DOUBLE_EQ(many.p_sign_flip(), 1);
  const ClusterDifference shifted(singles(std::vector<double>(5, 0.1)), 1);
  EXPECT_GT(shifted.interval(0.95).high, 0.5);
  EXPECT_LT(shifted.interval(0.95).low, 0.0);
  const ClusterDifference one(singles({0.1}), 1);
  EXPECT_TRUE(std::isinf(one.interval(0.95).high));
  EXPECT_DOUBLE_EQ(one.p_at_least(10), 1);
  EXPECT_DOUBLE_EQ(ClusterDifference({}, 1).p_at_most(0), 1);
}

TEST(PairedClusters, SameAnswersEveryTime) {
  Random random(5);
  std::vector<double> d;
  for (int i = 0; i < 40; ++i) d.push_back(random.normal());
  const ClusterDifference a(singles(d), 1), b(singles(d), 1);
  EXPECT_EQ(a.interval(0.95).low, b.interval(0.95).low);
  EXPECT_EQ(a.p_sign_flip(), b.p_sign_flip());
  EXPECT_EQ(a.p_at_most(0.1), b.p_at_most(0.1));
}

// False alarms where nothing differs, 50 clusters of 10 items that lean together: what the naive interval
// over items gets wrong by a factor of eight.
TEST(PairedClusters, FalseAlarmsAreAtMostNominal) {
  Random random(11);
  constexpr int kTrials = 400;
  struct {
    int flip = 0, worse = 0, safe = 0, naive = 0;
  } alarms;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<ClusterSum> clusters;
    double sum = 0, squares = 0;
    for (int c = 0; c < 50; ++c) {
      const double lean = random.normal();
      ClusterSum total{0, 10};
      for (int i = 0; i < 10; ++i) {
        const double d = lean + 0.3 * random.normal();
        total.sum += d, sum += d, squares += d * d;
      }
      clusters.push_back(total);
    }
    const ClusterDifference d(clusters, 1);
    alarms.flip += d.p_sign_flip() <= 0.05;
    alarms.worse += d.p_at_most(0) <= 0.05;
    alarms.safe += d.p_at_least(0) <= 0.05;
    alarms.naive += sum / 500 > 1.645 * std::sqrt(squares) / 500;
  }
  // Three standard deviations of a binomial above 5 %.
  const double most = kTrials * 0.05 + 3 * std::sqrt(kTrials * 0.05 * 0.95);
  EXPECT_LE(alarms.flip, most);
  EXPECT_LE(alarms.worse, most);
  EXPECT_LE(alarms.safe, most);
  EXPECT_GT(alarms.naive, 0.2 * kTrials);
}

// Few clusters, differences that are skewed: t and BCa alone take the mean for less than it is in one of ten
// exams, where one of forty is allowed.
TEST(PairedClusters, FewSkewedClustersAreNotTrustedMuch) {
  Random random(12);
  constexpr int kTrials = 300;
  int wrong_passes = 0, wrong_breaches = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<ClusterSum> clusters;
    for (int c = 0; c < 10; ++c)
      clusters.push_back({-std::log(1 - random.uniform()), 1});  // exponential, mean 1
    wrong_passes += ClusterDifference(clusters, 1).interval(0.95).high < 1;
    for (ClusterSum& c : clusters) c.sum = 2 - c.sum;
    wrong_breaches += ClusterDifference(clusters, 1).interval(0.95).low > 1;
  }
  EXPECT_LE(wrong_passes, 0.065 * kTrials);
  EXPECT_LE(wrong_breaches, 0.065 * kTrials);
}

TEST(Corrections, HolmAndBenjaminiHochberg) {
  // statsmodels 0.14: multipletests(p, method="holm"), method="fdr_bh"
  const std::vector<double> p{0.01, 0.04, 0.03, 0.005, 0.9};
  const std::vector<double> holm{0.04, 0.09, 0.09, 0.025, 0.9}, bh{0.025, 0.05, 0.05, 0.025, 0.9};
  const auto h = adjust_holm(p), b = adjust_benjamini_hochberg(p);
  for (size_t i = 0; i < p.size(); ++i) {
    EXPECT_NEAR(h[i], holm[i], 1e-15);
    EXPECT_NEAR(b[i], bh[i], 1e-15);
  }
  EXPECT_TRUE(adjust_holm({}).empty());
}

TEST(Power, WhatAnExamCanSee) {
  EXPECT_NEAR(detectable_effect(0.01, 0.025, 0.8), 0.02801585, 1e-8);
  // Twice as far from the margin: a quarter of the items.
  EXPECT_EQ(items_to_decide(100, 0.02, 0, 0.02, 0.025, 0.8), 785);
  EXPECT_EQ(items_to_decide(100, 0.02, 0, 0.04, 0.025, 0.8), 197);
  EXPECT_EQ(items_to_decide(100, 0.0001, 0, 0.5, 0.025, 0.8), 101);
  EXPECT_EQ(items_to_decide(100, 0.01, 0.02, 0.02, 0.025, 0.8), int64_t{1} << 53);
  EXPECT_EQ(unchanged_items_to_pass(0.02, 1, 0.025), 183);
  EXPECT_GT(unchanged_items_to_pass(0, 1, 0.025), 1'000'000);
}

}  // namespace
}  // namespace carat
