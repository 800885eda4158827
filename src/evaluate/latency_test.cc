#include "evaluate/latency.h"

#include <gtest/gtest.h>

#include "evaluate/noise.h"

namespace carat {
namespace {

TEST(Latency, PercentilesAreInterpolated) {
  std::vector<double> values{4, 1, 3, 2};
  EXPECT_DOUBLE_EQ(percentile(values, 0), 1);
  EXPECT_DOUBLE_EQ(percentile(values, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(percentile(values, 0.9), 3.7);
  EXPECT_DOUBLE_EQ(percentile(values, 1), 4);
  std::vector<double> one{7};
  EXPECT_EQ(percentile(one, 0.99), 7);
}

TEST(Latency, FormulasAndWhatWasNotMeasured) {
  LatencySums sums;
  EXPECT_TRUE(sums.to_json().empty());
  Record record;
  record.seconds = 2.5;
  record.first_token_seconds = 0.5;
  record.generated_tokens = 5;
  sums.add(record);
  record.generated_tokens = 1;  // no further token
  record.first_token_seconds = 2.5;
  sums.add(record);
  record.first_token_seconds = 0;  // not streamed
  sums.add(record);
  record.seconds = 0;  // shared with others
  sums.add(record);
  const json::object out = sums.to_json();
  EXPECT_EQ(out.at("seconds_per_token").at("answers").to_number<int>(), 1);
  EXPECT_DOUBLE_EQ(out.at("seconds_per_token").at("p50").as_double(), 0.5);
  EXPECT_EQ(out.at("first_token_seconds").at("answers").to_number<int>(), 2);
  EXPECT_DOUBLE_EQ(out.at("first_token_seconds").at("p50").as_double(), 1.5);
  EXPECT_EQ(out.at("answer_seconds").at("answers").to_number<int>(), 3);
  EXPECT_EQ(out.at("formulas").as_object().size(), 3u);
}

Scorecard card_of(double task_mean, double slice_mean, bool with_slice = true) {
  Scorecard card;
  card.scores.push_back({"t", "d", "", "acc", {task_mean, 0, {}, 10, 10}, 10, 0, 0});
  if (with_slice) card.scores.push_back({"t", "d", "s", "acc", {slice_mean, 0, {}, 5, 5}, 5, 0, 0});
  return card;
}

TEST(NoiseFloor, LargestDistanceFromTheFirstRun) {
  const auto floors = noise_floor({card_of(0.5, 0.2), card_of(0.6, 0.2), card_of(0.1, 0.2)});
  ASSERT_EQ(floors.size(), 2u);
  EXPECT_DOUBLE_EQ(floors[0].largest_difference, 0.4);
  EXPECT_DOUBLE_EQ(floors[0].mean, 0.4);
  EXPECT_EQ(floors[1].slice, "s");
  EXPECT_EQ(floors[1].largest_difference, 0);
  EXPECT_EQ(noise_floor({card_of(0.5, 0.2), card_of(0.5, 0, false)}).size(), 1u);
  EXPECT_TRUE(noise_floor({}).empty());
}

}  // namespace
}  // namespace carat
