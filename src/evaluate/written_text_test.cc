#include "evaluate/written_text.h"

#include <gtest/gtest.h>

namespace carat {
namespace {

TEST(WrittenText, ReasoningIsDividedFromTheAnswer) {
  const auto divided = [](std::string_view text) {
    const Written w = divide_reasoning(text);
    return std::pair<std::string, std::string>(w.reasoning, w.answer);
  };
  using Parts = std::pair<std::string, std::string>;
  EXPECT_EQ(divided("<think>2+2 is 4</think>\n\n4"), Parts("2+2 is 4", "4"));
  EXPECT_EQ(divided("\n <think>\nhm</think>x </think>"), Parts("\nhm", "x </think>"));
  EXPECT_EQ(divided("so it is 4</think> 4"), Parts("so it is 4", "4"));
  EXPECT_EQ(divided("<think>never ends"), Parts("never ends", ""));
  EXPECT_EQ(divided("  plain <think>"), Parts("", "  plain <think>"));
  EXPECT_EQ(divided(""), Parts("", ""));
}

std::string repeated(std::string_view unit, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += unit;
  return out;
}

TEST(WrittenText, LoopsAreSeenAtTheEnd) {
  EXPECT_TRUE(ends_in_a_loop(repeated("I am a language model. ", 12)));
  EXPECT_TRUE(ends_in_a_loop("It began well. " + repeated("and then ", 40) + "and th"));
  EXPECT_TRUE(ends_in_a_loop(std::string(300, '!')));
  EXPECT_TRUE(ends_in_a_loop(repeated(std::string(399, 'a') + "b", 4)));
  EXPECT_TRUE(ends_in_a_loop(std::string(100000, 'x') + repeated("0123456789", 30)));
}

TEST(WrittenText, WhatOnlyLooksLikeOneIsNone) {
  EXPECT_FALSE(ends_in_a_loop(""));
  EXPECT_FALSE(ends_in_a_loop("no no no no no no no"));  // short
  EXPECT_FALSE(ends_in_a_loop(repeated("twice told is not yet a loop, is it? ", 3)));
  EXPECT_FALSE(ends_in_a_loop(repeated("a loop that ended. ", 30) + "Then something else was said at last."));
  std::string counted;
  for (int i = 0; i < 200; ++i) counted += std::to_string(i) + "\n";
  EXPECT_FALSE(ends_in_a_loop(counted));
}

}  // namespace
}  // namespace carat
