#include "gates/gate.h"

#include <gtest/gtest.h>

#include "gates/testing.h"

namespace carat {
namespace {

using namespace testing;

constexpr std::string_view kSlices = R"([surface.default]
[[surface.default.rule]]
margin = 0.02
[[surface.default.rule]]
slice = "*"
margin = 0.05
)";

double mostly(int i, int) { return i % 5 != 0; }

TEST(Gate, TheSameAnswersPassWhenThereAreEnough) {
  const Scorecard a = card_of("a", answers("t", 4, 100, mostly));
  const SurfaceDecision d = gate(kSlices, a, a);
  EXPECT_EQ(d.verdict, GateVerdict::pass) << d.reason;
  EXPECT_EQ(d.results.size(), 5u);
  for (const GateResult& r : d.results) EXPECT_LE(r.p_pass, 0.025);
}

TEST(Gate, ThreeItemsProveNothing) {
  const Scorecard a = card_of("a", answers("t", 1, 3, [](int, int) { return 1; }));
  const SurfaceDecision d = gate(kSlices, a, a);
  EXPECT_EQ(d.verdict, GateVerdict::inconclusive);
  EXPECT_NEAR(static_cast<double>(result_of(d, "t").items_needed), 183, 1);
}

TEST(Gate, ContinuousMetricsThatDoNotMoveAreNoProofEither) {
  auto texts = [](int n) {
    std::vector<Record> out;
    for (int i = 0; i < n; ++i) {
      out.push_back(make_record("t", fmt::format("{}", i), 0));
      out.back().metrics = {{"nll", 2 + 0.1 * (i % 7)}};
    }
    return card_of("a", out);
  };
  constexpr std::string_view kPolicy = "[surface.s]\n[[surface.s.rule]]\nmetric = \"nll\"\nmargin = 0.01\n";
  EXPECT_EQ(gate(kPolicy, texts(3), texts(3)).verdict, GateVerdict::inconclusive);
  EXPECT_EQ(gate(kPolicy, texts(1), texts(1)).verdict, GateVerdict::inconclusive);
  EXPECT_EQ(gate(kPolicy, texts(200), texts(200)).verdict, GateVerdict::pass);
}

// Taken out of both cards, a slice is in no comparison; that its means are still there betrays it.
TEST(Gate, ASliceWhoseAnswersAreGoneFromBothCardsDoesNotEscape) {
  Scorecard a = card_of("a", answers("t", 4, 100, mostly));
  a.scores = sum_up(a.records, {{"t", "t"}});
  ASSERT_EQ(gate(kSlices, a, a).verdict, GateVerdict::pass);
  std::erase_if(a.records, [](const Record& r) { return r.slices[0] == "subject=2"; });
  const SurfaceDecision d = gate(kSlices, a, a);
  EXPECT_EQ(d.verdict, GateVerdict::inconclusive);
  EXPECT_NE(d.reason.find("sums up 400 items of task \"t\", and has the answers of 300"), std::string::npos)
      << d.reason;
}

// 10 slices of 300: one loses a third of its right answers, the others win a few, the whole stays.
TEST(Gate, ASliceThatBreaksIsFoundWhereTheWholeLooksFine) {
  Random random(4);
  const Scorecard a = card_of("a", answers("t", 10, 300, mostly));
  const Scorecard b = card_of("b", answers("t", 10, 300, [&](int i, int s) {
                                if (s == 7) return mostly(i, s) * (random.uniform() < 0.67);
                                return mostly(i, s) + (1 - mostly(i, s)) * (random.uniform() < 0.15);
                              }));
  const SurfaceDecision d = gate(kSlices, a, b);
  EXPECT_EQ(result_of(d, "t").verdict, GateVerdict::pass);
  EXPECT_EQ(result_of(d, "t subject=7").verdict, GateVerdict::breach);
  EXPECT_LE(result_of(d, "t subject=7").p_adjusted, 0.025);
  EXPECT_EQ(d.verdict, GateVerdict::breach);
  EXPECT_EQ(d.results[0].subject, "t subject=7");
  EXPECT_NE(d.reason.find("subject=7"), std::string::npos);
}

TEST(Gate, AdvisorySlicesDoNotBlock) {
  constexpr std::string_view kPolicy = R"([surface.default]
[[surface.default.rule]]
margin = 0.1
[[surface.default.rule]]
slice = "*"
tier = "advisory"
margin = 0.05
)";
  const Scorecard a = card_of("a", answers("t", 10, 300, mostly));
  const Scorecard b =
      card_of("b", answers("t", 10, 300, [](int i, int s) { return s == 7 ? 0 : mostly(i, s); }));
  const SurfaceDecision d = gate(kPolicy, a, b);
  EXPECT_EQ(result_of(d, "t subject=7").verdict, GateVerdict::breach);
  EXPECT_EQ(d.verdict, GateVerdict::pass) << d.reason;
  EXPECT_NE(d.reason.find("advisory"), std::string::npos);
}

TEST(Gate, MissingFailsClosed) {
  const Scorecard a = card_of("a", answers("t", 2, 300, mostly));
  constexpr std::string_view kOther = R"([surface.default]
[[surface.default.rule]]
margin = 0.05
[[surface.default.rule]]
task = "law*"
margin = 0.05
)";
  SurfaceDecision d = gate(kOther, a, a);
  EXPECT_EQ(d.verdict, GateVerdict::inconclusive);
  EXPECT_NE(d.reason.find("missing"), std::string::npos) << d.reason;
  EXPECT_NE(d.reason.find("line 4"), std::string::npos) << d.reason;

  Scorecard without = a;  // a slice that the candidate never answered
  std::erase_if(without.records, [](const Record& r) { return r.slices[0] == "subject=1"; });
  d = gate(kSlices, a, without);
  EXPECT_EQ(d.verdict, GateVerdict::inconclusive);
  EXPECT_EQ(result_of(d, "t subject=1").verdict, GateVerdict::inconclusive);
  EXPECT_EQ(result_of(d, "t subject=0").verdict, GateVerdict::pass);
  EXPECT_EQ(result_of(d, "t").verdict, GateVerdict::inconclusive);  // half of its items lack their pair

  d = gate(kSlices, a, a, {"the card of \"a\" is stale"});
  EXPECT_EQ(d.verdict, GateVerdict::inconclusive);
  EXPECT_NE(d.reason.find("stale"), std::string::npos);
}

TEST(Gate, TooFewItemsNeverPass) {
  constexpr std::string_view kPolicy = "[surface.s]\n[[surface.s.rule]]\nmargin = 0.2\nminimum_items = 500\n";
  const Scorecard a = card_of("a", answers("t", 1, 400, mostly));
  const SurfaceDecision d = gate(kPolicy, a, a);
  EXPECT_EQ(d.verdict, GateVerdict::inconclusive);
  EXPECT_EQ(d.results[0].items_needed, 500);
}

// Four choices, a baseline that guesses.
TEST(Gate, WithoutHeadroomAccuracyNeverPasses) {
  auto guesses = [](double kl) {
    auto records = answers("t", 1, 400, [](int i, int) { return i % 4 == 0; });
    for (size_t i = 0; i < records.size(); ++i) {
      records[i].metrics.emplace_back("chance", 0.25);
      records[i].metrics.emplace_back("gold_nll", 1.5 + 0.1 * static_cast<double>(i % 5));
      if (kl > 0) records[i].metrics.emplace_back("kl", kl * (0.5 + static_cast<double>(i % 3)));
    }
    return records;
  };
  constexpr std::string_view kAlone = "[surface.s]\n[[surface.s.rule]]\nmargin = 0.05\n";
  constexpr std::string_view kWith =
      "[surface.s]\n[[surface.s.rule]]\nmargin = 0.05\nno_headroom = {kl = 0.05, gold_nll = 0.05}\n";
  const Scorecard a = card_of("a", guesses(0));
  Scorecard close = card_of("b", guesses(0.01)), far = card_of("c", guesses(0.5));
  close.reference = far.reference = a.variant.model_digest;

  SurfaceDecision d = gate(kAlone, a, close);
  EXPECT_EQ(d.results[0].verdict, GateVerdict::no_headroom) << d.results[0].reason;
  EXPECT_NE(d.results[0].reason.find("guessing"), std::string::npos);
  EXPECT_EQ(d.verdict, GateVerdict::inconclusive);

  d = gate(kWith, a, close);
  ASSERT_EQ(d.results.size(), 3u);
  EXPECT_EQ(d.results[0].verdict, GateVerdict::no_headroom);
  EXPECT_TRUE(d.results[1].stand_in && d.results[2].stand_in);
  EXPECT_EQ(d.verdict, GateVerdict::pass) << d.reason;

  d = gate(kWith, a, far);
  EXPECT_EQ(d.verdict, GateVerdict::breach) << d.reason;
}

TEST(Gate, WithinTheMarginOfGuessingThereIsNoHeadroom) {
  // 12 % right where guessing gives nothing, and 15 points may be lost: even a dead model would pass.
  constexpr std::string_view kPolicy = "[surface.s]\n[[surface.s.rule]]\nmargin = 0.15\n";
  const Scorecard a = card_of("a", answers("t", 1, 400, [](int i, int) { return i % 8 == 0; }));
  const Scorecard dead = card_of("b", answers("t", 1, 400, [](int, int) { return 0; }));
  EXPECT_EQ(gate(kPolicy, a, a).results[0].verdict, GateVerdict::no_headroom);
  EXPECT_EQ(gate(kPolicy, a, dead).verdict, GateVerdict::inconclusive);
  constexpr std::string_view kTight = "[surface.s]\n[[surface.s.rule]]\nmargin = 0.05\n";
  EXPECT_EQ(gate(kTight, a, dead).verdict, GateVerdict::breach);
}

TEST(Gate, RelativeMarginsAndTheLastRuleThatFits) {
  constexpr std::string_view kPolicy = R"([surface.default]
[[surface.default.rule]]
slice = "*"
margin = 0.001
[[surface.default.rule]]
slice = "subject=1"
margin_relative = 0.1
)";
  const Scorecard a = card_of("a", answers("t", 2, 200, mostly));
  const SurfaceDecision d = gate(kPolicy, a, a);
  EXPECT_EQ(result_of(d, "t subject=0").verdict, GateVerdict::inconclusive);
  EXPECT_EQ(result_of(d, "t subject=1").verdict, GateVerdict::pass);
  EXPECT_NEAR(result_of(d, "t subject=1").margin, 0.08, 1e-12);
}

TEST(Limits, TimesBytesAndPrices) {
  auto timed = [](double factor) {
    auto records = answers("t", 1, 200, mostly);
    for (size_t i = 0; i < records.size(); ++i) {
      Record& r = records[i];
      r.first_token_seconds = factor * (0.1 + 0.001 * static_cast<double>(i % 50));
      r.seconds = r.first_token_seconds + factor * 1.0;
      r.generated_tokens = 11;
    }
    Scorecard card = card_of("x", records);
    card.performance["peak_memory_bytes"] = 1000.0 * factor;
    card.performance["last_session"] = {{"tokens_per_second", 100.0 / factor}};
    return card;
  };
  const Scorecard a = timed(1), b = timed(1.5);
  auto verdict = [&](std::string_view limit) {
    return gate(fmt::format("[surface.s]\n[[surface.s.limit]]\n{}\n", limit), a, b).verdict;
  };
  const auto pass = GateVerdict::pass, breach = GateVerdict::breach, open = GateVerdict::inconclusive;
  EXPECT_EQ(verdict("quantity = \"first_token_seconds\"\nat_most = 0.3"), pass);
  EXPECT_EQ(verdict("quantity = \"first_token_seconds\"\nat_most = 0.1"), breach);
  EXPECT_EQ(verdict("quantity = \"first_token_seconds\"\npercentile = 99.9\nat_most = 0.3"), open);
  EXPECT_EQ(verdict("quantity = \"first_token_seconds\"\nat_most_ratio = 1.6"), pass);
  EXPECT_EQ(verdict("quantity = \"first_token_seconds\"\nat_most_ratio = 1.4"), breach);
  EXPECT_EQ(verdict("quantity = \"seconds_per_token\"\nat_most = 0.151"), pass);
  EXPECT_EQ(verdict("quantity = \"answer_seconds\"\nat_most = 5\nat_most_ratio = 1.1"), breach);
  EXPECT_EQ(verdict("quantity = \"memory_bytes\"\nat_most = 1500"), pass);
  EXPECT_EQ(verdict("quantity = \"memory_bytes\"\nat_most = 1499"), breach);
  EXPECT_EQ(verdict("quantity = \"file_bytes\"\nat_most_ratio = 1"), pass);
  EXPECT_EQ(verdict("quantity = \"price_per_million_tokens\"\nat_most = 1"), open);
  // 100 / 1.5 tokens a second: 4.1667 hours for a million.
  EXPECT_EQ(verdict("quantity = \"price_per_million_tokens\"\nprice_per_hour = 1\nat_most = 4.2"), pass);
  EXPECT_EQ(verdict("quantity = \"price_per_million_tokens\"\nprice_per_hour = 1\nat_most = 4.1"), breach);
}

}  // namespace
}  // namespace carat
