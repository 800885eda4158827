#include "checks/rubric.h"

#include "checks/check_testing.h"

namespace carat {
namespace {

TEST(Rubric, WithoutAJudgeThereIsNoScore) {
  TestContext t;
  const auto check = check_of("rubric", R"({"rubric": "Be brief.", "high": 5})");
  const auto verdict = check->judge(t.context, {{"Hello."}, {}, false}, {});
  ASSERT_TRUE(verdict.ok());
  EXPECT_EQ(verdict->kind, Verdict::Kind::unscored);
  EXPECT_NE(verdict->reason.find("--judge"), std::string::npos);
  EXPECT_TRUE(check->accepts(object_of(R"({"reference": ["a", "b"]})")).ok());
  EXPECT_FALSE(check->accepts(object_of(R"({"reference": 3})")).ok());
  EXPECT_NE(refused_settings("rubric", R"({"low": 5, "high": 5})").find("high"), std::string::npos);
  EXPECT_NE(refused_settings("rubric", R"({"model": "x"})"), "");
}

TEST(Rubric, ThePromptHoldsEverythingThatIsJudged) {
  const Rubric rubric = *read_rubric(object_of(R"({"rubric": "Be brief.", "low": 0, "high": 3})"));
  const std::string prompt = judge_prompt(rubric, {{"user", "Why?"}, {"assistant", "Because."}},
                                          object_of(R"({"reference": ["So."]})"));
  for (const char* part : {"Be brief.", "Why?", "Because.", "So.", "from 0", "to 3"})
    EXPECT_NE(prompt.find(part), std::string::npos) << part;
}

TEST(Rubric, RatingsAreReadFromALineOfTheirOwn) {
  const Rubric rubric = *read_rubric({});
  EXPECT_EQ(read_rating(rubric, "Good.\nRating: 7"), 7);
  EXPECT_EQ(read_rating(rubric, "**Rating: [[8.5]]**\n"), 8.5);
  EXPECT_EQ(read_rating(rubric, "Rating: 3\nOn reflection:\nrating: 9/10\r\n"), 9);
  EXPECT_FALSE(read_rating(rubric, "I would say Rating: 7"));
  EXPECT_FALSE(read_rating(rubric, "Rating: 11"));
  EXPECT_FALSE(read_rating(rubric, "Rating: 7 or 8"));
  EXPECT_FALSE(read_rating(rubric, "Rating: nan"));
  EXPECT_FALSE(read_rating(rubric, ""));
}

}  // namespace
}  // namespace carat
