#include "gates/comparison.h"

#include <gtest/gtest.h>

#include "gates/metrics.h"
#include "gates/testing.h"
#include "statistics/paired_shares.h"

namespace carat {
namespace {

using namespace testing;

double even(int i, int) { return i % 2 == 0; }

TEST(Metrics, EveryNameOnceAndDescriptionsHaveNoDirection) {
  EXPECT_TRUE(find_metric("acc")->higher_is_better);
  EXPECT_FALSE(find_metric("kl")->higher_is_better);
  EXPECT_EQ(find_metric("bleu"), nullptr);
  for (const char* name : {"chance", "generated_tokens", "reasoning_bytes"}) {
    EXPECT_TRUE(is_descriptive(name));
    EXPECT_EQ(find_metric(name), nullptr);
  }
}

TEST(Compare, SingleBinaryItemsAreCounted) {
  const Scorecard a = card_of("a", answers("mmlu", 2, 50, even));
  // Slice 0: 5 of 25 right ones lost, 1 won; slice 1 unchanged.
  const Scorecard b = card_of("b", answers("mmlu", 2, 50, [](int i, int s) {
                                if (s == 0 && i < 10) return 0.0;
                                return s == 0 && i == 49 ? 1.0 : even(i, s);
                              }));
  const auto c = compare_cards(a, b);
  ASSERT_TRUE(c) << c.error().message;
  ASSERT_EQ(c->slices.size(), 3u);
  EXPECT_EQ(c->slices[0].slice, "");
  const SliceDifference& d = slice_of(*c, "subject=0");
  EXPECT_TRUE(d.binary);
  EXPECT_EQ(d.items, 50);
  EXPECT_EQ(d.worse, 5);
  EXPECT_EQ(d.better, 1);
  EXPECT_DOUBLE_EQ(d.damage, 0.08);
  EXPECT_DOUBLE_EQ(d.p_worse, mcnemar(5, 1).p);
  EXPECT_LT(d.mid_p, d.p_worse);
  EXPECT_DOUBLE_EQ(d.interval.high, damage_interval({50, 5, 1}, 0.95).high);
  EXPECT_EQ(slice_of(*c, "subject=1").worse, 0);
  EXPECT_GT(slice_of(*c, "subject=1").interval.high, 0.05);
  ASSERT_EQ(c->flips.size(), 6u);
  EXPECT_TRUE(c->flips[0].worse);
  EXPECT_FALSE(c->flips[5].worse);
  EXPECT_EQ(c->flips[0].slice, "subject=0");
  EXPECT_EQ(c->flips[0].baseline_answer, "right");
}

TEST(Compare, ClustersAreKeptWhole) {
  auto grouped = [](std::vector<Record> records) {
    for (Record& r : records) r.cluster = fmt::format("passage {}", r.item.back());
    return records;
  };
  const Scorecard a = card_of("a", grouped(answers("t", 1, 200, even)));
  const Scorecard b =
      card_of("b", grouped(answers("t", 1, 200, [](int i, int s) { return i < 20 ? 0 : even(i, s); })));
  const auto c = compare_cards(a, b);
  ASSERT_TRUE(c);
  const SliceDifference& d = slice_of(*c, "");
  EXPECT_EQ(d.clusters, 10);
  EXPECT_TRUE(d.binary);
  EXPECT_FALSE(d.evidence.counted);
  EXPECT_EQ(d.worse, 10);
}

TEST(Compare, RepeatsAreAveragedWithinTheItem) {
  auto repeated = [](double first, double second) {
    std::vector<Record> out;
    for (int i = 0; i < 30; ++i)
      for (int r = 0; r < 2; ++r) {
        out.push_back(make_record("t", fmt::format("{}", i), r == 0 ? first : second));
        out.back().repeat = r;
      }
    return out;
  };
  const auto c = compare_cards(card_of("a", repeated(1, 1)), card_of("b", repeated(1, 0)));
  ASSERT_TRUE(c);
  EXPECT_EQ(c->slices[0].items, 30);
  EXPECT_EQ(c->slices[0].clusters, 30);
  EXPECT_FALSE(c->slices[0].binary);
  EXPECT_DOUBLE_EQ(c->slices[0].damage, 0.5);
}

TEST(Compare, DirectionsAreDamage) {
  auto with = [](const char* metric, double value) {
    std::vector<Record> out;
    for (int i = 0; i < 10; ++i) {
      out.push_back(make_record("t", fmt::format("{}", i), 0));
      out.back().metrics = {{metric, value + 0.01 * i}};
    }
    return out;
  };
  for (const auto& [metric, sign] : {std::pair{"nll", 1}, std::pair{"rating", -1}}) {
    const auto c = compare_cards(card_of("a", with(metric, 2)), card_of("b", with(metric, 2.5)));
    ASSERT_TRUE(c);
    EXPECT_NEAR(c->slices[0].damage, sign * 0.5, 1e-12) << metric;
  }
  const auto unknown = compare_cards(card_of("a", with("vibes", 1)), card_of("b", with("vibes", 1)));
  ASSERT_TRUE(unknown);
  EXPECT_TRUE(unknown->slices.empty());
  bool noted = false;
  for (const std::string& n : unknown->notes) noted |= n.find("vibes") != std::string::npos;
  EXPECT_TRUE(noted);
}

TEST(Compare, FailedAndMissingItemsAreCountedApart) {
  auto a = answers("t", 1, 20, even), b = a;
  b[0].outcome = Outcome::failed, b[0].metrics.clear();
  b[1].outcome = Outcome::unscored, b[1].metrics.clear();
  a[1].outcome = Outcome::unscored, a[1].metrics.clear();
  b.pop_back();
  const auto c = compare_cards(card_of("a", a), card_of("b", b));
  ASSERT_TRUE(c);
  EXPECT_EQ(c->slices[0].items, 17);
  EXPECT_EQ(c->slices[0].missing, 2);
  EXPECT_EQ(c->slices[0].unscored, 1);
  EXPECT_EQ(c->slices[0].worse, 0);
}

TEST(Compare, DivergenceFromTheBaselineItself) {
  auto a = answers("t", 1, 40, even), b = a;
  for (size_t i = 0; i < b.size(); ++i) b[i].metrics.emplace_back("kl", 0.01 * static_cast<double>(i % 3));
  Scorecard reference = card_of("a", a), candidate = card_of("b", b);
  EXPECT_EQ(slice_of(*compare_cards(reference, candidate), "", "kl").items, 0);
  EXPECT_EQ(slice_of(*compare_cards(reference, candidate), "", "kl").missing, 40);
  candidate.reference = reference.variant.model_digest;
  const auto c = compare_cards(reference, candidate);
  EXPECT_EQ(slice_of(*c, "", "kl").items, 40);
  EXPECT_NEAR(slice_of(*c, "", "kl").damage, 0.00975, 1e-12);
}

TEST(Compare, OtherTokensAreNotComparedPerToken) {
  auto texts = [](double weight) {
    std::vector<Record> out;
    for (int i = 0; i < 5; ++i) {
      out.push_back(make_record("t", fmt::format("{}", i), 0));
      out.back().weight = weight;
      out.back().metrics = {{"nll", 2.0 + i}, {"bits_per_byte", 0.8 + 0.1 * i}};
    }
    return out;
  };
  const auto c = compare_cards(card_of("a", texts(100)), card_of("b", texts(90)));
  ASSERT_TRUE(c);
  EXPECT_EQ(slice_of(*c, "", "nll").items, 0);
  EXPECT_EQ(slice_of(*c, "", "bits_per_byte").items, 5);
}

TEST(Compare, WhatCannotBeCompared) {
  const Scorecard a = card_of("a", answers("t", 1, 5, even));
  Scorecard other = a;
  other.suite_digest = "f00";
  EXPECT_EQ(compare_cards(a, other).error().code, Code::bad_data);
  EXPECT_NE(compare_cards(a, other).error().message.find("other exams"), std::string::npos);
  Scorecard bare = a;
  bare.records.clear();
  EXPECT_NE(compare_cards(a, bare).error().message.find("no records"), std::string::npos);
  Scorecard twice = a;
  twice.records.push_back(twice.records[2]);
  EXPECT_NE(compare_cards(a, twice).error().message.find("twice"), std::string::npos);
  Scorecard many = a;
  for (int i = 0; i < 200; ++i) many.records[0].metrics.emplace_back(fmt::format("m{}", i), 1.0);
  EXPECT_FALSE(compare_cards(a, many));
}

TEST(Compare, OrderOfRecordsDoesNotMatter) {
  const Scorecard a = card_of("a", answers("t", 3, 30, even));
  Scorecard b = card_of("b", answers("t", 3, 30, [](int i, int) { return i % 3 == 0; })), reversed = b;
  std::reverse(reversed.records.begin(), reversed.records.end());
  const auto first = compare_cards(a, b), second = compare_cards(a, reversed);
  ASSERT_EQ(first->slices.size(), second->slices.size());
  for (size_t i = 0; i < first->slices.size(); ++i)
    EXPECT_EQ(first->slices[i].interval.high, second->slices[i].interval.high);
}

TEST(Compare, NotesSayWhatDiffers) {
  const Scorecard a = card_of("a", answers("t", 1, 5, even));
  Scorecard b = a;
  EXPECT_NE(compare_cards(a, b)->notes[0].find("noise floor"), std::string::npos);
  b.variant.settings["kv"] = "q8_0";
  b.provenance["threads"] = 8;
  b.complete = false;
  const auto notes = compare_cards(a, b)->notes;
  ASSERT_EQ(notes.size(), 3u);
  EXPECT_NE(notes[0].find("kv"), std::string::npos);
  EXPECT_NE(notes[1].find("threads"), std::string::npos);
  EXPECT_NE(notes[2].find("not complete"), std::string::npos);
}

TEST(Comparison, RepeatsOfOtherNumbersAreNoPair) {
  Scorecard a = card_of("a", answers("t", 1, 10, [](int, int) { return 1; })), b = a;
  for (Record& r : b.records) r.repeat = 1;
  const auto c = compare_cards(a, b);
  ASSERT_TRUE(c.ok());
  EXPECT_EQ(slice_of(*c, "").items, 0);
  EXPECT_EQ(slice_of(*c, "").missing, 10);
}

TEST(Comparison, WhatIsNoShareOrNoNumberIsNotCompared) {
  Scorecard a = card_of("a", answers("t", 1, 10, [](int, int) { return 1; })), b = a;
  b.records[3].metrics[0].second = 2;
  EXPECT_FALSE(compare_cards(a, b).ok());
  EXPECT_FALSE(compare_cards(b, a).ok());
  for (Scorecard* card : {&a, &b})
    for (Record& r : card->records) r.metrics = {{"nll", 2.0}};
  b.records[3].metrics[0].second = std::numeric_limits<double>::infinity();
  const auto c = compare_cards(a, b);
  ASSERT_TRUE(c.ok());
  EXPECT_EQ(slice_of(*c, "", "nll").items, 0);
  EXPECT_EQ(slice_of(*c, "", "nll").missing, 10);
  EXPECT_EQ(c->notes.size(), 2u);
}

}  // namespace
}  // namespace carat
