#include "engine/stop_finder.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace carat {
namespace {

/// The definition: the text up to the beginning of the stop string that is complete first, the longest where
/// several are at once.
std::string cut(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& s : stops)
      if (std::string_view(text).substr(0, end).ends_with(s)) longest = std::max(longest, s.size());
    if (longest > 0) return text.substr(0, end - longest);
  }
  return text;
}

TEST(StopFinder, AgreesWithItsDefinitionHoweverTheTextIsCut) {
  Random random(5);
  const auto word = [&](size_t most) {
    std::string s(1 + random.next() % most, 'a');
    for (char& c : s) c = static_cast<char>('a' + random.next() % 2);
    return s;
  };
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> stops(random.next() % 3);
    for (std::string& s : stops) s = word(6);
    const std::string text = word(20), expected = cut(text, stops);
    StopFinder finder(stops);
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random.next() % 4;
      out += finder.push(std::string_view(text).substr(at, n));
      EXPECT_TRUE(expected.starts_with(out)) << "handed on what a stop string took back";
      at += n;
    }
    out += finder.finish();
    EXPECT_EQ(out, expected) << text;
    EXPECT_EQ(finder.found(), expected.size() < text.size());
  }
}

TEST(StopFinder, HoldsBackOnlyWhatMayBecomeAStopString) {
  StopFinder finder({"\n\nQ:", "END"});
  EXPECT_EQ(finder.push("one\n"), "one");
  EXPECT_EQ(finder.push("two E"), "\ntwo ");
  EXPECT_EQ(finder.push("N"), "");
  EXPECT_EQ(finder.push("D of"), "");
  EXPECT_TRUE(finder.found());
  EXPECT_EQ(finder.push("more"), "");
  EXPECT_EQ(finder.finish(), "");
  EXPECT_EQ(StopFinder({}).push("all"), "all");
}

}  // namespace
}  // namespace carat
