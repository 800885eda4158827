#include "gates/documents.h"

#include <gtest/gtest.h>

#include "gates/testing.h"

namespace carat {
namespace {

using namespace testing;

constexpr std::string_view kPolicy = "[surface.\"a<b\"]\n[[surface.\"a<b\".rule]]\nmargin = 0.05\n";

// A model that answers in markup of all kinds.
std::pair<Scorecard, Scorecard> hostile() {
  auto a = answers("t\"<&", 1, 300, [](int, int) { return 1; }), b = a;
  for (size_t i = 0; i < 100; ++i) {
    b[i].metrics[0].second = 0;
    b[i].answer = "<script>x</script> | @everyone [a](http://b) `c`\n# d \x1b[31m\x01";
  }
  return {card_of("a", a), card_of("b|<i>", b)};
}

TEST(Documents, JsonHoldsNoInfinities) {
  const Scorecard one = card_of("a", answers("t", 1, 1, [](int, int) { return 0.5; }));
  const auto c = compare_cards(one, one);
  ASSERT_TRUE(c);
  const std::string text = json::serialize(to_json(*c));
  EXPECT_NE(text.find("\"interval\":[null,null]"), std::string::npos) << text;
  EXPECT_TRUE(parse_json(text));
}

TEST(Documents, MarkdownShowsTextAsText) {
  const auto [a, b] = hostile();
  const SurfaceDecision d = gate(kPolicy, a, b);
  ASSERT_EQ(d.verdict, GateVerdict::breach) << d.reason;
  const std::string text = markdown_document(*compare_cards(a, b), {d});
  EXPECT_EQ(text.find("<script"), std::string::npos);
  EXPECT_EQ(text.find("@everyone"), std::string::npos);
  EXPECT_EQ(text.find("[a]("), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("100 items are wrong now"), std::string::npos);
  EXPECT_NE(text.find("80 more are not shown"), std::string::npos);
  // Each row of the table of flips has its six cells.
  const size_t row = text.find("| wrong |");
  ASSERT_NE(row, std::string::npos);
  const std::string line = text.substr(row, text.find('\n', row) - row);
  EXPECT_EQ(std::count(line.begin(), line.end(), '|'), 7);
}

TEST(Documents, JunitCountsWhatItHolds) {
  const auto [a, b] = hostile();
  const SurfaceDecision breach = gate(kPolicy, a, b), pass = gate(kPolicy, a, a);
  SurfaceDecision stale = gate(kPolicy, a, a, {"stale"});
  const std::string text = junit_document({breach, pass, stale});
  EXPECT_NE(text.find("<testsuites name=\"carat gate\" tests=\"4\" failures=\"1\" errors=\"1\">"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("name=\"a&lt;b\""), std::string::npos);
  EXPECT_NE(text.find("message=\"stale\""), std::string::npos);
  EXPECT_EQ(text.find("\"t\"<"), std::string::npos);
}

}  // namespace
}  // namespace carat
