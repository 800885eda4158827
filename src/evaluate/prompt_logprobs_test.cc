#include "evaluate/prompt_logprobs.h"

#include <gtest/gtest.h>

namespace carat {
namespace {

json::value reply_of(std::string_view logprobs) {
  return *parse_json(fmt::format(R"({{"choices":[{{"text":"x","logprobs":{}}}]}})", logprobs));
}

std::string complaint(std::string_view logprobs, std::string_view prompt) {
  const auto read = read_prompt_logprobs(reply_of(logprobs), prompt);
  return read ? "nothing is wrong" : read.error().message;
}

TEST(PromptLogprobs, TokensOfThePromptOnly) {
  const auto read = read_prompt_logprobs(
      reply_of(R"({"tokens":["The"," sky"," is"," blue"],"token_logprobs":[null,-5.5,-0.25,-1],)"
               R"("text_offset":[0,3,7,10],"top_logprobs":[null,{" end":-1},{" is":-0.25},{" blue":-1}]})"),
      "The sky is");
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->size(), 3u);
  EXPECT_FALSE((*read)[0].known);
  EXPECT_EQ((*read)[1].begin, 3);
  EXPECT_EQ((*read)[1].end, 7);
  EXPECT_EQ((*read)[1].log_probability, -5.5);
  EXPECT_FALSE((*read)[1].likeliest);
  EXPECT_TRUE((*read)[2].likeliest);
  const auto sum = continuation_logprob(*read, 3);
  ASSERT_TRUE(sum.ok());
  EXPECT_EQ(sum->log_probability, -5.75);
  EXPECT_EQ(sum->tokens, 2);
  EXPECT_EQ(sum->tokens_before, 1);
  EXPECT_FALSE(sum->greedy);
  EXPECT_TRUE(continuation_logprob(*read, 7)->greedy);
}

TEST(PromptLogprobs, ABeginTokenMayComeFirst) {
  const auto read = read_prompt_logprobs(
      reply_of(R"({"tokens":["<s>","Hi"," you"],"token_logprobs":[null,-2,-3]})"), "Hi you");
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->size(), 2u);
  EXPECT_TRUE((*read)[0].known);
  EXPECT_EQ(continuation_logprob(*read, 0)->log_probability, -5);
}

TEST(PromptLogprobs, PiecesOfCharactersAreFoundByTheirOffset) {
  // U+1F600 in two tokens, which have no text of their own; offsets count characters.
  const auto read =
      read_prompt_logprobs(reply_of(R"({"tokens":["a","bytes:\\xf0\\x9f","bytes:\\x98\\x80"," b"],)"
                                    R"("token_logprobs":[null,-1,-2,-3],"text_offset":[0,1,1,2]})"),
                           "a\xf0\x9f\x98\x80 b");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(continuation_logprob(*read, 5)->log_probability, -3);
  EXPECT_EQ(continuation_logprob(*read, 1)->log_probability, -6);
}

TEST(PromptLogprobs, WhatDoesNotFitThePromptIsNotBelieved) {
  const std::string_view prompt = "The sky is";
  // Only the generated token, as servers without prompt log-probabilities give it.
  EXPECT_NE(complaint(R"({"tokens":[" blue"],"token_logprobs":[-1],"text_offset":[10]})", prompt)
                .find("not those of the prompt"),
            std::string::npos);
  EXPECT_NE(complaint("null", prompt).find("no choices[0].logprobs"), std::string::npos);
  EXPECT_NE(complaint(R"({"content":[{"token":" blue","logprob":-1}]})", prompt).find("no lists"),
            std::string::npos);
  EXPECT_NE(
      complaint(R"({"tokens":["The"," sky"," is"],"token_logprobs":[null,-1]})", prompt).find("lengths"),
      std::string::npos);
  EXPECT_NE(complaint(R"({"tokens":["The"," sky"," is"],"token_logprobs":[null,-1,0.5]})", prompt)
                .find("no log-probability"),
            std::string::npos);
  EXPECT_NE(complaint(R"({"tokens":["The"," sky"," is"],"token_logprobs":[null,null,-1]})", prompt)
                .find("has no log-probability"),
            std::string::npos);
  EXPECT_NE(
      complaint(R"({"tokens":["The",7," is"],"token_logprobs":[null,-1,-1]})", prompt).find("not a text"),
      std::string::npos);
  EXPECT_NE(
      complaint(R"({"tokens":["The"," sea"," is"],"token_logprobs":[null,-1,-1],"text_offset":[0,3,7]})",
                prompt)
          .find("not those of the prompt"),
      std::string::npos);
  EXPECT_NE(
      complaint(R"({"tokens":["The"," sky"," is"],"token_logprobs":[null,-1,-1],"text_offset":[0,9,3]})",
                "The sky iz")
          .find("not those of the prompt"),
      std::string::npos);
}

TEST(PromptLogprobs, ATokenOnBothSidesIsNoAnswer) {
  const auto read = read_prompt_logprobs(
      reply_of(R"({"tokens":["The"," sky"," is"],"token_logprobs":[null,-1,-1]})"), "The sky is");
  ASSERT_TRUE(read.ok());
  EXPECT_FALSE(continuation_logprob(*read, 5).ok());
  EXPECT_FALSE(continuation_logprob(*read, 0).ok());  // the first token has none
  EXPECT_FALSE(continuation_logprob(*read, 10).ok());
}

}  // namespace
}  // namespace carat
