#include "suites/long_context.h"

#include <map>
#include <set>
#include <sstream>

#include "suites/suite_testing.h"

namespace carat {
namespace {

std::vector<Item> make(const LongContext& settings) {
  std::vector<Item> out;
  const Status s = make_long_context(settings, [&](Item&& item) -> Status {
    out.push_back(std::move(item));
    return {};
  });
  EXPECT_TRUE(s.ok());
  return out;
}

std::vector<std::string> needed(const Item& item) {
  std::vector<std::string> out;
  for (const auto& v : item.expected.at("needed").as_array()) out.emplace_back(v.as_string());
  return out;
}

size_t count_of(std::string_view text, std::string_view part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

constexpr const char* kNames[] = {"needle", "multi_key", "multi_value", "variables", "common_words"};

TEST(LongContext, PromptsFillTheirLengthAndNotMore) {
  for (const char* name : kNames)
    for (const int64_t length : {256, 1024, 32768}) {
      const auto items = make({.kind = *find_long_context(name), .lengths = {length}, .count = 6, .seed = 3});
      ASSERT_EQ(items.size(), 6u);
      for (const Item& item : items) {
        const double share = static_cast<double>(item.prompt.size()) / (4.0 * static_cast<double>(length));
        EXPECT_LE(share, 7.0 / 8) << item.id;
        EXPECT_GE(share, 0.7) << item.id;
        EXPECT_EQ(item.slices[0], fmt::format("length={}", length));
      }
    }
}

TEST(LongContext, TheSameSeedMakesTheSameItems) {
  for (const char* name : kNames) {
    LongContext settings{.kind = *find_long_context(name), .lengths = {512, 1024}, .count = 3, .seed = 3};
    const auto first = make(settings), again = make(settings);
    settings.seed = 4;
    const auto other = make(settings);
    std::set<std::string> prompts;
    for (size_t i = 0; i < first.size(); ++i) {
      EXPECT_EQ(first[i].prompt, again[i].prompt);
      EXPECT_NE(first[i].prompt, other[i].prompt);
      prompts.insert(first[i].prompt);
    }
    EXPECT_EQ(prompts.size(), 6u);
    // An item is what it is whichever other lengths and items there are.
    settings = {.kind = settings.kind, .lengths = {1024}, .count = 1, .seed = 3};
    EXPECT_EQ(make(settings)[0].prompt, first[3].prompt);
  }
}

TEST(LongContext, ANeedleLiesOnceAtItsDepth) {
  for (const char* name : {"needle", "multi_key"}) {
    const auto items = make({.kind = *find_long_context(name), .lengths = {4096}, .count = 10, .seed = 1});
    const double depths[] = {0, 0.25, 0.5, 0.75, 1};
    for (size_t i = 0; i < items.size(); ++i) {
      const std::string code = needed(items[i])[0];
      ASSERT_EQ(count_of(items[i].prompt, code), 1u) << items[i].id;
      const double at =
          static_cast<double>(items[i].prompt.find(code)) / static_cast<double>(items[i].prompt.size());
      EXPECT_NEAR(at, depths[i % 5], 0.05) << items[i].id;
      EXPECT_EQ(items[i].slices[1], fmt::format("depth={}", 100 * depths[i % 5]));
      EXPECT_EQ(count_of(items[i].prompt, "One code of the "), std::string_view(name) == "needle" ? 1u : 7u);
    }
  }
}

TEST(LongContext, TheQuestionNamesTheKeyOfWhatIsNeeded) {
  const std::pair<const char*, size_t> kinds[] = {{"needle", 1}, {"multi_key", 1}, {"multi_value", 4}};
  for (const auto& [name, values] : kinds) {
    const Item item = make({.kind = *find_long_context(name), .lengths = {1024}, .count = 1, .seed = 5})[0];
    const size_t question = item.prompt.rfind("\n\n");
    const size_t of = item.prompt.find("of the ", question) + 7;
    const std::string key = item.prompt.substr(of, item.prompt.find(" does", of) - of);
    std::set<std::string> codes;
    for (const std::string& code : needed(item)) {
      EXPECT_NE(item.prompt.find(fmt::format("One code of the {} is {}.", key, code)), std::string::npos);
      codes.insert(code);
    }
    EXPECT_EQ(codes.size(), values);
    EXPECT_EQ(count_of(item.prompt, "One code of the " + key + " is"), values);
  }
}

TEST(LongContext, VariablesNeededAreThoseThatHoldTheValue) {
  for (const Item& item :
       make({.kind = LongContext::Kind::variables, .lengths = {512, 4096}, .count = 4, .seed = 9})) {
    // Reads the text as a program.
    std::map<std::string, std::string> values;
    const std::string& p = item.prompt;
    const size_t question = p.rfind("\n\n");
    for (size_t at = p.find("Set "); at < question; at = p.find("Set ", at + 1)) {
      const std::string name = p.substr(at + 4, 5), source = p.substr(at + 12, p.find('.', at) - at - 12);
      values[name] = values.contains(source) ? values[source] : source;
    }
    EXPECT_EQ(values.size(), 12u);
    const size_t hold = p.find("hold ", question) + 5;
    const std::string asked = p.substr(hold, 5);
    std::set<std::string> right;
    for (const auto& [name, value] : values)
      if (value == asked) right.insert(name);
    const auto want = needed(item);
    EXPECT_EQ(right, std::set<std::string>(want.begin(), want.end()));
    EXPECT_EQ(right.size(), 4u);
  }
}

TEST(LongContext, CommonWordsAreTheMostCommon) {
  for (const Item& item :
       make({.kind = LongContext::Kind::common_words, .lengths = {256, 1024, 8192}, .count = 3, .seed = 2})) {
    std::map<std::string, int> counts;
    std::istringstream list(item.prompt.substr(item.prompt.find("1. ")));
    std::string number, word;
    for (int i = 1; list >> number >> word && number == std::to_string(i) + "."; ++i) ++counts[word];
    const auto want = needed(item);
    const std::set<std::string> common(want.begin(), want.end());
    ASSERT_EQ(common.size(), 10u);
    int least = 1 << 30, most = 0;
    for (const auto& [w, n] : counts)
      if (common.contains(w))
        least = std::min(least, n);
      else
        most = std::max(most, n);
    EXPECT_GE(least, 3 * most) << item.id;
    EXPECT_GE(most, 1);
  }
}

TEST(LongContext, AsItemsOfASuite) {
  testing::SuiteDirectory d;
  const std::string task =
      "[[task]]\nname = \"n\"\nkind = \"generate\"\ncheck = \"contains\"\n"
      "generate = {kind = \"needle\", lengths = [256, 512], count = 5, seed = 1}\n";
  d.tasks(task);
  const auto suite = d.good();
  ASSERT_TRUE(suite);
  EXPECT_EQ(suite->items(0), 10);
  const auto items = testing::all_items(*suite);
  ASSERT_EQ(items.size(), 10u);
  EXPECT_EQ(items[0].turns.size(), 1u);
  EXPECT_EQ(items[9].slices, (std::vector<std::string>{"length=512", "depth=100"}));
  const std::string digest = d.digest();
  d.tasks(task + "generation = {chat = false}\n");
  EXPECT_NE(d.digest(), digest);
  EXPECT_TRUE(testing::all_items(*d.good())[0].turns.empty());
}

}  // namespace
}  // namespace carat
