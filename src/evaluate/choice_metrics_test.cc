#include "evaluate/choice_metrics.h"

#include <gtest/gtest.h>

namespace carat {
namespace {

double metric(const ChoiceScore& score, std::string_view name) {
  for (const auto& [key, value] : score.metrics)
    if (key == name) return value;
  ADD_FAILURE() << "no metric " << name;
  return -1;
}

std::vector<LikelihoodReply> replies_of(std::vector<double> log_probabilities) {
  std::vector<LikelihoodReply> out;
  for (const double p : log_probabilities) out.push_back({p, false, 1, 1});
  return out;
}

// Per byte -1 and -0.75 without the delimiter, -0.5 and -0.6 with it.
TEST(ChoiceMetrics, LengthsAreWithoutTheDelimiterOnly) {
  const auto chosen = [](std::string_view delimiter, size_t counted_without) {
    Item item;
    for (const char* choice : {"ab", "abcd"}) item.choices.push_back(std::string(delimiter) + choice);
    item.gold = 1;
    return metric(score_choice(item, counted_without, replies_of({-2.0, -3.0})), "acc_norm");
  };
  EXPECT_EQ(chosen("\n\n", 2), 1);
  EXPECT_EQ(chosen("\n\n", 0), 0);
  // A space that is the choice's own counts.
  EXPECT_EQ(chosen(" ", 1), 1);
  Item item;
  item.choices = {" a", "abc"};
  item.gold = 0;
  EXPECT_EQ(metric(score_choice(item, 0, replies_of({-3.0, -5.0})), "acc_norm"), 1);
  EXPECT_EQ(metric(score_choice(item, 0, replies_of({-3.0, -5.0})), "acc_chars"), 1);
}

// The longest choice is the least likely as a whole and the likeliest per byte; the one of two-byte letters
// is the likeliest per character.
TEST(ChoiceMetrics, EachNormChoosesItsOwn) {
  Item item;
  item.choices = {" ab", " abcdefghij", " \xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6"};
  item.gold = 1;
  const auto replies = replies_of({-2.0, -4.0, -4.5});
  const ChoiceScore score = score_choice(item, 1, replies);
  EXPECT_EQ(score.chosen, 0);
  EXPECT_EQ(metric(score, "acc"), 0);
  EXPECT_EQ(metric(score, "acc_norm"), 1);
  EXPECT_EQ(metric(score, "acc_chars"), 1);
  EXPECT_EQ(metric(score, "gold_nll"), 4.0);
  EXPECT_DOUBLE_EQ(metric(score, "chance"), 1.0 / 3);
  item.gold = 0;
  EXPECT_EQ(metric(score_choice(item, 1, replies), "acc"), 1);
  EXPECT_EQ(metric(score_choice(item, 1, replies), "acc_norm"), 0);
  // Per character: -0.8 against -0.7; per byte: -0.4 against -0.7.
  item.choices = {" \xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6", " abcde"};
  const auto close = replies_of({-4.0, -3.5});
  EXPECT_EQ(metric(score_choice(item, 1, close), "acc_norm"), 1);
  EXPECT_EQ(metric(score_choice(item, 1, close), "acc_chars"), 0);
}

TEST(ChoiceMetrics, TheFirstOfEqualsIsChosen) {
  Item item;
  item.choices = {" a", " b", " c"};
  item.gold = 2;
  const ChoiceScore score = score_choice(item, 1, replies_of({-1, -1, -1}));
  EXPECT_EQ(score.chosen, 0);
  EXPECT_EQ(metric(score, "acc"), 0);
}

TEST(ChoiceMetrics, OneContinuationAsksForGreed) {
  Item item;
  item.choices = {" word"};
  item.gold = 0;
  const std::vector<LikelihoodReply> replies{{-0.5, true, 2, 9}};
  const ChoiceScore score = score_choice(item, 1, replies);
  EXPECT_EQ(score.metrics, (Metrics{{"greedy", 1.0}, {"gold_nll", 0.5}}));
}

}  // namespace
}  // namespace carat
