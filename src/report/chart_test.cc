#include "report/chart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <regex>

namespace carat {
namespace {

TEST(Chart, ticks_are_round_and_within) {
  EXPECT_EQ(round_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(round_ticks(5, 5, 5), std::vector<double>{5});
  for (const auto& [low, high] : {std::pair{-1.3, 7.9}, {0.0, 1e-9}, {1e12, 1.1e12}, {-5e-3, 4e-3}}) {
    const auto ticks = round_ticks(low, high, 6);
    EXPECT_GE(ticks.size(), 3u);
    EXPECT_LE(ticks.size(), 12u);
    for (const double t : ticks) EXPECT_TRUE(t >= low && t <= high) << t;
  }
}

TEST(Chart, labels_keep_their_distance_and_stay_near) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> wanted(1 + random() % 16);
    for (double& w : wanted) w = round % 2 ? 50 : std::generate_canonical<double, 53>(random) * 240 - 20;
    std::vector<double> at = spread_apart(wanted, 0, 200, 12);
    ASSERT_EQ(at.size(), wanted.size());
    for (size_t i = 0; i < at.size(); ++i)
      for (size_t k = 0; k < at.size(); ++k) EXPECT_TRUE(wanted[i] >= wanted[k] || at[i] <= at[k]);
    std::ranges::sort(at);
    EXPECT_GE(at.front(), -1e-9);
    EXPECT_LE(at.back(), 200 + 1e-9);
    const double room = std::min(12.0, 200.0 / static_cast<double>(std::max<size_t>(at.size() - 1, 1)));
    for (size_t i = 1; i < at.size(); ++i) EXPECT_GE(at[i] - at[i - 1], room - 1e-9);
  }
  EXPECT_EQ(spread_apart({10, 100, 50}, 0, 200, 12), (std::vector<double>{10, 100, 50}));
}

ScatterChart chart_of(std::vector<std::pair<double, double>> points, bool lower_is_better = false) {
  ScatterChart chart;
  chart.lower_is_better = lower_is_better;
  for (const auto& [x, y] : points)
    chart.points.push_back({chart.points.size(), "p", x, y, {y - 0.01, y + 0.01}, false});
  return chart;
}

TEST(Chart, the_front_is_what_nothing_beats) {
  EXPECT_EQ(pareto_front(chart_of({{3, 0.9}, {1, 0.5}, {2, 0.4}, {2, 0.7}, {4, 0.9}})),
            (std::vector<size_t>{1, 3, 0}));
  EXPECT_EQ(pareto_front(chart_of({{3, 1.0}, {1, 2.0}, {2, 3.0}}, true)), (std::vector<size_t>{1, 0}));
  EXPECT_TRUE(pareto_front(chart_of({})).empty());

  // Against the definition.
  std::mt19937_64 random(2);
  std::vector<std::pair<double, double>> points;
  for (int i = 0; i < 40; ++i) points.emplace_back(random() % 12, static_cast<double>(random() % 12));
  const auto front = pareto_front(chart_of(points));
  for (size_t i = 0; i < points.size(); ++i) {
    const bool beaten = std::ranges::any_of(points, [&](const auto& p) {
      return p.first <= points[i].first && p.second >= points[i].second && p != points[i];
    });
    const bool on_front = std::ranges::any_of(front, [&](size_t f) { return points[f] == points[i]; });
    EXPECT_EQ(on_front, !beaten) << i;
  }
}

/// Values of an attribute of elements whose class says that they are names.
std::vector<double> name_heights(const std::string& svg) {
  static const std::regex kName(R"re(<text class="v[0-9] name" x="[0-9.]+" y="([0-9.]+)")re");
  std::vector<double> out;
  for (std::sregex_iterator m(svg.begin(), svg.end(), kName), last; m != last; ++m)
    out.push_back(std::stod((*m)[1]));
  return out;
}

TEST(Chart, names_never_overlap) {
  for (const bool large : {true, false})
    for (const size_t n : {1, 2, 8, 16}) {
      ScatterChart chart = chart_of(std::vector<std::pair<double, double>>(n, {1e9, 0.5}));
      chart.large = large;
      auto heights = name_heights(scatter_svg(chart).html());
      ASSERT_EQ(heights.size(), n);
      std::ranges::sort(heights);
      for (size_t i = 1; i < n; ++i) EXPECT_GE(heights[i] - heights[i - 1], n <= 9 ? 12 : 9) << n;
    }
}

TEST(Chart, one_point_or_none_is_drawn) {
  EXPECT_NE(scatter_svg(chart_of({{1e6, 0.5}})).html().find("<circle"), std::string::npos);
  EXPECT_EQ(scatter_svg(chart_of({})).html().find("nan"), std::string::npos);
  EXPECT_EQ(line_svg({}).html().find("nan"), std::string::npos);
  LineChart lines;
  lines.lines = {{0, "a", {{0, 0.0}}}, {1, "b", {}}, {2, "c", {{0, 0.5}, {1, 0.25}}}};
  EXPECT_EQ(name_heights(line_svg(lines).html()).size(), 2u);
}

}  // namespace
}  // namespace carat
