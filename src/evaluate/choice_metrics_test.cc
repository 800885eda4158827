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

TEST(ChoiceMetrics, LengthsAreWithoutTheDividingSpaceOnly) {
  EXPECT_EQ(choice_bytes(" two words"), 9);
  EXPECT_EQ(choice_bytes("two words"), 9);
  EXPECT_EQ(choice_bytes("  x"), 2);
  EXPECT_EQ(choice_bytes(" "), 1);
  EXPECT_EQ(choice_bytes(" gr\xc3\xbcn"), 5);
  EXPECT_EQ(choice_characters(" gr\xc3\xbcn"), 4);
}

// The longest choice is the least likely as a whole and the likeliest per byte; the one of two-byte letters
// is the likeliest per character.
TEST(ChoiceMetrics, EachNormChoosesItsOwn) {
  Item item;
  item.choices = {" ab", " abcdefghij", " \xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6"};
  item.gold = 1;
  const auto replies = replies_of({-2.0, -4.0, -4.5});
  const ChoiceScore score = score_choice(item, replies);
  EXPECT_EQ(score.chosen, 0);
  EXPECT_EQ(metric(score, "acc"), 0);
  EXPECT_EQ(metric(score, "acc_norm"), 1);
  EXPECT_EQ(metric(score, "acc_chars"), 1);
  EXPECT_EQ(metric(score, "gold_nll"), 4.0);
  EXPECT_DOUBLE_EQ(metric(score, "chance"), 1.0 / 3);
  item.gold = 0;
  EXPECT_EQ(metric(score_choice(item, replies), "acc"), 1);
  EXPECT_EQ(metric(score_choice(item, replies), "acc_norm"), 0);
  // Per character: -0.8 against -0.7; per byte: -0.4 against -0.7.
  item.choices = {" \xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6", " abcde"};
  const auto close = replies_of({-4.0, -3.5});
  EXPECT_EQ(metric(score_choice(item, close), "acc_norm"), 1);
  EXPECT_EQ(metric(score_choice(item, close), "acc_chars"), 0);
}

TEST(ChoiceMetrics, TheFirstOfEqualsIsChosen) {
  Item item;
  item.choices = {" a", " b", " c"};
  item.gold = 2;
  const ChoiceScore score = score_choice(item, replies_of({-1, -1, -1}));
  EXPECT_EQ(score.chosen, 0);
  EXPECT_EQ(metric(score, "acc"), 0);
}

TEST(ChoiceMetrics, OneContinuationAsksForGreed) {
  Item item;
  item.choices = {" word"};
  item.gold = 0;
  const std::vector<LikelihoodReply> replies{{-0.5, true, 2, 9}};
  const ChoiceScore score = score_choice(item, replies);
  EXPECT_EQ(score.metrics, (Metrics{{"greedy", 1.0}, {"gold_nll", 0.5}}));
}

}  // namespace
}  // namespace carat
