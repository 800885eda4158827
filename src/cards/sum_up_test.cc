#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "cards/testing.h"

namespace carat {
namespace {

using testing::make_record;

const SliceScore* find(const std::vector<SliceScore>& scores, std::string_view task, std::string_view slice,
                       std::string_view metric = "acc") {
  const auto at = std::ranges::find_if(
      scores, [&](const SliceScore& s) { return s.task == task && s.slice == slice && s.metric == metric; });
  return at == scores.end() ? nullptr : &*at;
}

TEST(SumUp, whole_tasks_and_their_slices_have_means) {
  const std::vector<Record> records = {make_record("b", "1", 1, {"x", "y"}), make_record("b", "2", 0, {"x"}),
                                       make_record("b", "3", 1, {"y"}), make_record("a", "1", 0, {})};
  const auto scores = sum_up(records, {{"b", "second"}, {"a", "first"}});
  ASSERT_EQ(scores.size(), 4u);
  EXPECT_EQ(scores[0].task, "b");
  EXPECT_EQ(scores[0].slice, "");
  EXPECT_EQ(scores[0].dimension, "second");
  EXPECT_EQ(scores[3].task, "a");
  EXPECT_DOUBLE_EQ(find(scores, "b", "")->value.mean, 2.0 / 3);
  EXPECT_EQ(find(scores, "b", "")->value.items, 3);
  EXPECT_DOUBLE_EQ(find(scores, "b", "x")->value.mean, 0.5);
  EXPECT_DOUBLE_EQ(find(scores, "b", "y")->value.mean, 1);
  EXPECT_EQ(find(scores, "b", "y")->items, 2);
  EXPECT_LT(find(scores, "b", "x")->value.interval.low, 0.5);
}

TEST(SumUp, repeats_of_an_item_are_one_observation) {
  std::vector<Record> records;
  for (int repeat = 0; repeat < 10; ++repeat) {
    records.push_back(make_record("t", "a", repeat < 5));
    records.back().repeat = repeat;
  }
  records.push_back(make_record("t", "b", 1));
  const auto scores = sum_up(records, {{"t", "d"}});
  EXPECT_DOUBLE_EQ(scores[0].value.mean, 0.75);
  EXPECT_EQ(scores[0].value.items, 2);
  EXPECT_EQ(scores[0].items, 2);
}

TEST(SumUp, weights_count_tokens) {
  Record short_text = make_record("t", "a", 1), long_text = make_record("t", "b", 3),
         empty_text = make_record("t", "c", 100);
  long_text.weight = 3;
  empty_text.weight = 0;
  const auto scores = sum_up({short_text, long_text, empty_text}, {});
  EXPECT_DOUBLE_EQ(scores[0].value.mean, (1 * 1 + 3 * 3) / 4.0);
  EXPECT_EQ(scores[0].value.items, 2);
  EXPECT_EQ(scores[0].items, 3);
}

TEST(SumUp, what_was_not_scored_is_counted_and_stays_visible) {
  Record unscored = make_record("t", "a", 0, {"s"}), failed = make_record("t", "b", 0, {"s"}),
         later = make_record("t", "b", 0, {"s"});
  unscored.outcome = Outcome::unscored;
  failed.outcome = Outcome::failed;
  later.repeat = 1;
  later.outcome = Outcome::unscored;
  for (Record* r : {&unscored, &failed, &later}) r->metrics.clear();
  auto scores = sum_up({unscored, failed, later}, {});
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_EQ(scores[1].slice, "s");
  EXPECT_EQ(scores[1].metric, "");
  EXPECT_EQ(scores[1].value.items, 0);
  EXPECT_EQ(scores[1].items, 2);
  EXPECT_EQ(scores[1].unscored, 1);
  EXPECT_EQ(scores[1].failed, 1);

  // With another slice scored, the dead slice has the task's metric and no items.
  scores = sum_up({unscored, failed, make_record("t", "c", 1, {"alive"})}, {});
  ASSERT_EQ(scores.size(), 3u);
  ASSERT_NE(find(scores, "t", "s"), nullptr);
  EXPECT_EQ(find(scores, "t", "s")->value.items, 0);
  EXPECT_EQ(find(scores, "t", "")->value.items, 1);
  EXPECT_EQ(find(scores, "t", "")->failed, 1);
}

TEST(SumUp, an_infinite_loss_makes_an_infinite_mean) {
  const auto scores =
      sum_up({make_record("t", "a", 1), make_record("t", "b", HUGE_VAL), make_record("t", "c", 1)}, {});
  EXPECT_EQ(scores[0].value.mean, HUGE_VAL);
  EXPECT_EQ(scores[0].value.interval.low, -HUGE_VAL);
  EXPECT_EQ(scores[0].value.items, 3);
}

TEST(SumUp, the_order_of_records_does_not_matter) {
  std::mt19937_64 random(3);
  std::vector<Record> records;
  for (int i = 0; i < 300; ++i) {
    Record r = make_record(i % 2 ? "a" : "b", std::to_string(i / 6), 0, {i % 5 ? "s" : "t", "all"});
    r.repeat = i % 6 / 2;
    r.cluster = std::to_string(i / 12);
    const auto draw = [&] { return std::generate_canonical<double, 53>(random); };
    r.metrics = {{"loss", draw()}, {"kl", draw() * 1e-3}};
    r.weight = 1 + draw();
    records.push_back(r);
  }
  const auto expected = sum_up(records, {{"b", "d"}});
  for (int round = 0; round < 5; ++round) {
    std::ranges::shuffle(records, random);
    const auto scores = sum_up(records, {{"b", "d"}});
    ASSERT_EQ(scores.size(), expected.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      EXPECT_EQ(scores[i].task + scores[i].slice + scores[i].metric,
                expected[i].task + expected[i].slice + expected[i].metric);
      EXPECT_EQ(scores[i].value.mean, expected[i].value.mean);
      EXPECT_EQ(scores[i].value.interval.low, expected[i].value.interval.low);
      EXPECT_EQ(scores[i].value.interval.high, expected[i].value.interval.high);
    }
  }
  EXPECT_EQ(expected[0].metric, "loss");  // as the records have them, not by name
}

TEST(SumUp, a_record_with_very_many_slices_takes_no_longer_per_slice) {
  Record r = make_record("t", "a", 1);
  for (int i = 0; i < 200'000; ++i) r.slices.push_back("s" + std::to_string(i % 150'000));
  EXPECT_EQ(sum_up({r}, {}).size(), 150'001u);
}

}  // namespace
}  // namespace carat
