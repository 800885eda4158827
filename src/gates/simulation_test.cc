// Verdicts under known truths: how often the gate errs. Bounded: a few hundred exams, seeds fixed.
#include <gtest/gtest.h>

#include <cmath>

#include "gates/testing.h"

namespace carat {
namespace {

using namespace testing;

constexpr std::string_view kPolicy = R"([surface.default]
[[surface.default.rule]]
margin = 0.02
[[surface.default.rule]]
slice = "*"
margin = 0.05
)";

// Items are in passages of ten that are easy or hard together; an answer changes with the passage's share of
// changes, more often for the worse by `damage`.
struct Truth {
  double accuracy = 0.7, changes = 0.08, damage = 0;
  bool clustered = false;
  int slices = 5, items = 200;
};

std::pair<Scorecard, Scorecard> exam(const Truth& truth, uint64_t seed) {
  Random random(seed);
  std::vector<Record> a, b;
  for (int s = 0; s < truth.slices; ++s) {
    double passage = 1;
    int sign = 1;
    for (int i = 0; i < truth.items; ++i) {
      if (truth.clustered && i % 10 == 0) {
        passage = random.uniform() < 0.3 ? 3.3 : 0;  // few passages change, and then in many items
        sign = random.uniform() < 0.5 ? 1 : -1;      // ... and in one direction
      }
      const bool right = random.uniform() < truth.accuracy;
      // Per side: changes / 2 of all items each way, and damage of all items more for the worse.
      double lost = truth.changes / 2 * passage / truth.accuracy,
             won = truth.changes / 2 * passage / (1 - truth.accuracy);
      if (truth.clustered) (sign > 0 ? won : lost) = 0, (sign > 0 ? lost : won) *= 2;
      lost += truth.damage / truth.accuracy;
      const bool now = right ? random.uniform() >= lost : random.uniform() < won;
      const std::string item = fmt::format("{}-{}", s, i), slice = fmt::format("subject={}", s);
      a.push_back(make_record("t", item, right, {slice}));
      b.push_back(make_record("t", item, now, {slice}));
      if (truth.clustered) a.back().cluster = b.back().cluster = fmt::format("{}-{}", s, i / 10);
    }
  }
  return {card_of("a", std::move(a)), card_of("b", std::move(b))};
}

struct Tally {
  int pass = 0, breach = 0, inconclusive = 0;
};

Tally verdicts(std::string_view policy, const Truth& truth, int exams) {
  Tally out;
  for (int i = 0; i < exams; ++i) {
    const auto [a, b] = exam(truth, 1000 + static_cast<uint64_t>(i));
    const GateVerdict v = gate(policy, a, b).verdict;
    ++(v == GateVerdict::pass ? out.pass : v == GateVerdict::breach ? out.breach : out.inconclusive);
  }
  return out;
}

// Three standard deviations above a nominal rate.
double most(int exams, double rate) { return exams * rate + 3 * std::sqrt(exams * rate * (1 - rate)); }

TEST(GateSimulation, TwoRunsOfTheSameVariantNeverBreach) {
  EXPECT_EQ(verdicts(kPolicy, {}, 60).breach, 0);
  EXPECT_EQ(verdicts(kPolicy, {.clustered = true}, 20).breach, 0);
}

// The hardest case there is: any loss is too much, and there is none. Six rows share 2.5 %.
TEST(GateSimulation, FalseAlarmsOverAllSlicesAreAtMostNominal) {
  constexpr std::string_view kNone =
      "[surface.s]\n[[surface.s.rule]]\nmargin = 0\n[[surface.s.rule]]\nslice = \"*\"\nmargin = 0\n";
  EXPECT_LE(verdicts(kNone, {.changes = 0.15}, 300).breach, most(300, 0.025));
  EXPECT_LE(verdicts(kNone, {.changes = 0.15, .clustered = true}, 60).breach, most(60, 0.025));
}

// Damage of exactly the margin: neither a pass nor a breach may come more often than in one of forty.
TEST(GateSimulation, AtTheMarginWrongPassesAndBreachesAreAtMostNominal) {
  constexpr std::string_view kWhole = "[surface.s]\n[[surface.s.rule]]\nmargin = 0.03\n";
  for (const bool clustered : {false, true}) {
    const int exams = clustered ? 200 : 400;
    const Tally t =
        verdicts(kWhole, {.damage = 0.03, .clustered = clustered, .slices = 1, .items = 500}, exams);
    EXPECT_LE(t.pass, most(exams, 0.025)) << clustered;
    EXPECT_LE(t.breach, most(exams, 0.025)) << clustered;
  }
}

TEST(GateSimulation, WhatIsTrueIsFound) {
  constexpr std::string_view kWhole = "[surface.s]\n[[surface.s.rule]]\nmargin = 0.03\n";
  const Truth harmless{.changes = 0.04, .slices = 1, .items = 2000};
  Truth harmful = harmless;
  harmful.damage = 0.06;
  EXPECT_GE(verdicts(kWhole, harmless, 50).pass, 48);
  EXPECT_GE(verdicts(kWhole, harmful, 50).breach, 48);
}

}  // namespace
}  // namespace carat
