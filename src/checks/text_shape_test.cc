#include "checks/text_shape.h"

#include <gtest/gtest.h>

#include <string>

namespace carat {
namespace {

TEST(SplitReasoning, SeparatesThoughtFromAnswer) {
  const ReasonedReply r = split_reasoning("\n<think>\nhm, 4?\n</think>\n\n4");
  EXPECT_EQ(r.reasoning, "hm, 4?");
  EXPECT_EQ(r.answer, "4");
  EXPECT_FALSE(r.unfinished);
  const ReasonedReply opened_in_prompt = split_reasoning("hm</think>4</think>");
  EXPECT_EQ(opened_in_prompt.reasoning, "hm");
  EXPECT_EQ(opened_in_prompt.answer, "4</think>");
  const ReasonedReply cut = split_reasoning("<think>and so on");
  EXPECT_TRUE(cut.unfinished);
  EXPECT_EQ(cut.reasoning, "and so on");
  EXPECT_EQ(cut.answer, "");
  const ReasonedReply none = split_reasoning("The tag <think> is a tag.");
  EXPECT_EQ(none.reasoning, "");
  EXPECT_EQ(none.answer, "The tag <think> is a tag.");
  EXPECT_FALSE(none.unfinished);
}

std::string repeated(std::string_view stretch, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += stretch;
  return out;
}

TEST(Looped, SeesRepetitionAtTheEndOnly) {
  const std::string sentence = "I am sure that this sentence has been written before. ";
  EXPECT_TRUE(looped("Well. " + repeated(sentence, 5)));
  EXPECT_TRUE(looped("Well. " + repeated(sentence, 5) + "I am sure that th"));
  EXPECT_FALSE(looped(repeated(sentence, 5) + "But now I stop, for good, and say something else."));
  EXPECT_FALSE(looped(repeated(sentence, 3)));
  EXPECT_TRUE(looped(repeated("ha", 150)));
  EXPECT_FALSE(looped(repeated("ha", 50)));
  EXPECT_FALSE(looped("Table\n" + std::string(210, '-')));
  EXPECT_TRUE(looped("Table\n" + std::string(500, '-')));
  EXPECT_FALSE(looped(""));
  std::string counted;
  for (int i = 0; i < 300; ++i) counted += "Step " + std::to_string(i) + ": go on. ";
  EXPECT_FALSE(looped(counted));
}

TEST(JudgeRating, IsTheLastInDoubleBrackets) {
  EXPECT_EQ(judge_rating("Good. Rating: [[7]]"), 7);
  EXPECT_EQ(judge_rating("[[3]] or rather [[ 7.5 ]]."), 7.5);
  EXPECT_EQ(judge_rating("[[4]] of [[10 points]]"), 4);
  for (const char* none : {"", "7", "[7]", "[[0]]", "[[11]]", "[[A]]", "[[nan]]", "]]", "[["}) {
    EXPECT_EQ(judge_rating(none), std::nullopt) << none;
  }
  EXPECT_EQ(judge_rating("[[5]]", 4), std::nullopt);
}

}  // namespace
}  // namespace carat
