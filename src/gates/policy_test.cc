#include "gates/policy.h"

#include <gtest/gtest.h>

namespace carat {
namespace {

constexpr std::string_view kWhole = R"(schema_version = 1
[statistics]
confidence = 0.9
power = 0.9
missing = 0.05
[defaults]
tier = "advisory"
minimum_items = 20
no_headroom = {kl = 0.05, gold_nll = 0.1}
[surface.default]
description = "what everybody gets"
[[surface.default.rule]]
task = "mmlu*"
slice = "subject=*"
metric = "acc"
margin = 0.02
[[surface.default.rule]]
dimension = "knowledge"
tier = "blocking"
margin_relative = 0.05
minimum_items = 100
no_headroom = {}
[[surface.default.limit]]
quantity = "first_token_seconds"
percentile = 90
at_most = 0.5
at_most_ratio = 1.1
[surface.cost-bounded]
[[surface.cost-bounded.limit]]
quantity = "price_per_million_tokens"
price_per_hour = 0.4
at_most = 0.2
)";

TEST(Policy, SaysWhatItSays) {
  const auto p = parse_policy(kWhole, "p.toml");
  ASSERT_TRUE(p) << p.error().message;
  EXPECT_DOUBLE_EQ(p->confidence, 0.9);
  EXPECT_DOUBLE_EQ(p->missing, 0.05);
  ASSERT_EQ(p->surfaces.size(), 2u);
  const Surface& s = p->surfaces[1].name == "default" ? p->surfaces[1] : p->surfaces[0];
  ASSERT_EQ(s.rules.size(), 2u);
  EXPECT_EQ(s.rules[0].task, "mmlu*");
  EXPECT_EQ(s.rules[0].tier, Tier::advisory);
  EXPECT_EQ(s.rules[0].minimum_items, 20);
  ASSERT_EQ(s.rules[0].stand_ins.size(), 2u);
  EXPECT_EQ(s.rules[1].tier, Tier::blocking);
  EXPECT_TRUE(s.rules[1].relative);
  EXPECT_TRUE(s.rules[1].stand_ins.empty());
  EXPECT_EQ(s.rules[1].line, 17);
  ASSERT_EQ(s.limits.size(), 1u);
  EXPECT_DOUBLE_EQ(s.limits[0].percentile, 0.9);
  EXPECT_EQ(p->digest.size(), 64u);
}

TEST(Policy, MistakesAreSaidWithTheirLine) {
  const std::string surface = "[surface.default]\n[[surface.default.rule]]\n";
  for (const auto& [text, says] : std::vector<std::pair<std::string, std::string>>{
           {"", "needs a surface"},
           {"[surface.default]\n", "p.toml:1: "},
           {"[surface.default]\n", "needs a rule or a limit"},
           {surface + "margin = 0.1\nmargins = 0.2\n", "p.toml:4: "},
           {surface + "margin = 0.1\nmargins = 0.2\n", "no key \"margins\""},
           {surface + "margin = -0.1\n", "p.toml:3: "},
           {surface + "margin = nan\n", "p.toml:3: "},
           {surface + "task = \"t\"\n", "either 'margin'"},
           {surface + "margin = 0.1\nmargin_relative = 0.1\n", "either 'margin'"},
           {surface + "margin = 0.1\nmetric = \"accc\"\n", "p.toml:4: "},
           {surface + "margin = 0.1\nmetric = \"chance\"\n", "direction"},
           {surface + "margin = 0.1\ntier = \"maybe\"\n", "\"blocking\""},
           {surface + "margin = 0.1\nminimum_items = 0\n", "p.toml:4: "},
           {surface + "margin = 0.1\nno_headroom = {acc = 0.1}\n", "cannot stand in"},
           {surface + "margin = 0.1\nno_headroom = {kl = \"x\"}\n", "'kl'"},
           {surface + "margin = 1e-1\nmargin = 0.2\n", "p.toml:4: "},
           {"[surface.default]\nrule = 3\n", "[[surface.default.rule]]"},
           {"[surface.default]\n[[surface.default.limit]]\nquantity = \"joy\"\nat_most = 1\n",
            "no quantity \"joy\""},
           {"[surface.default]\n[[surface.default.limit]]\nquantity = \"file_bytes\"\n", "at_most"},
           {"[surface.default]\n[[surface.default.limit]]\nquantity = \"file_bytes\"\npercentile = "
            "95\nat_most = 1\n",
            "only times"},
           {"schema_version = 2\n" + surface + "margin = 0.1\n", "schema_version"},
           {"[statistics]\nconfidence = 95\n" + surface + "margin = 0.1\n", "p.toml:2: "},
           {"suface = 1\n" + surface + "margin = 0.1\n", "suface"},
           {"[surface\n", "p.toml:1"}}) {
    const auto p = parse_policy(text, "p.toml");
    ASSERT_FALSE(p) << text;
    EXPECT_EQ(p.error().code, Code::bad_data);
    EXPECT_NE(p.error().message.find(says), std::string::npos) << text << "\n" << p.error().message;
  }
}

TEST(Policy, Patterns) {
  EXPECT_TRUE(fits("*", ""));
  EXPECT_TRUE(fits("", ""));
  EXPECT_FALSE(fits("", "a"));
  EXPECT_TRUE(fits("subject=*", "subject=anatomy"));
  EXPECT_FALSE(fits("subject=*", "length=4096"));
  EXPECT_TRUE(fits("*=4*6", "length=4096"));
  EXPECT_FALSE(fits("*=4*7", "length=4096"));
  EXPECT_TRUE(fits("a*b*c", "aXbXbYc"));
  EXPECT_FALSE(fits("a.c", "abc"));
  EXPECT_FALSE(fits("*a*a*a*a*a*a*a*a*a*b", std::string(5000, 'a')));
}

}  // namespace
}  // namespace carat
