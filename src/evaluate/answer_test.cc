#include "evaluate/answer.h"

#include <gtest/gtest.h>

namespace carat {
namespace {

std::string chunk(std::string_view delta, std::string_view reason = "null") {
  return fmt::format(R"(data: {{"choices": [{{"index": 0, "delta": {}, "finish_reason": {}}}]}})"
                     "\n\n",
                     delta, reason);
}

Result<GeneratedText> read(std::string_view text, size_t piece) {
  AnswerStream stream;
  for (size_t at = 0; at < text.size(); at += piece) {
    auto done = stream.take(text.substr(at, piece));
    if (!done) return std::move(done).error();
    if (*done) break;
  }
  return std::move(stream).finish();
}

std::string failure(std::string_view text) {
  const auto answer = read(text, 7);
  EXPECT_FALSE(answer.ok());
  if (answer) return "";
  EXPECT_EQ(answer.error().code, Code::bad_data);
  return answer.error().message;
}

const std::string kAnswer =
    ": keep-alive\r\n\r\nevent: message\r\n" + chunk(R"({"role": "assistant", "content": ""})") +
    chunk(R"({"reasoning_content": "Hm."})") + chunk(R"({"content": "Good "})") +
    "data: {\"choices\":\r\ndata: [{\"delta\": {\"content\": \"day\"}}]}\r\n\r\n" +
    chunk("{}", R"("length")") +
    "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 5, \"completion_tokens\": 3}}\r\r"
    "data: [DONE]\n\n";

TEST(AnswerStream, IsTheSameHoweverItIsCut) {
  for (const size_t piece : {1u, 2u, 3u, 11u, 1u << 20}) {
    const auto answer = read(kAnswer + "data: {not even JSON\n\n", piece);
    ASSERT_TRUE(answer.ok()) << piece << ": " << answer.error().message;
    EXPECT_EQ(answer->text, "Good day");
    EXPECT_EQ(answer->reasoning, "Hm.");
    EXPECT_TRUE(answer->truncated);
    EXPECT_EQ(answer->prompt_tokens, 5);
    EXPECT_EQ(answer->tokens, 3);
    EXPECT_GT(answer->first_token_seconds, 0);
    EXPECT_GE(answer->seconds, answer->first_token_seconds);
  }
}

TEST(AnswerStream, PutsToolCallsTogetherByTheirIndex) {
  const auto answer = read(
      chunk(R"({"tool_calls": [{"index": 0, "function": {"name": "add", "arguments": "{\"a\":"}}]})") +
          chunk(R"({"tool_calls": [{"index": 1, "function": {"name": "sub", "arguments": {"b": 2}}}]})") +
          chunk(R"({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]})", R"("tool_calls")"),
      5);
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  ASSERT_EQ(answer->tool_calls.size(), 2u);
  EXPECT_EQ(answer->tool_calls[0], (std::pair<std::string, std::string>("add", "{\"a\":1}")));
  EXPECT_EQ(answer->tool_calls[1].second, "{\"b\":2}");
}

TEST(AnswerStream, OfPlainCompletionsHasItsText) {
  const auto answer = read("data:{\"choices\":[{\"text\":\" 42\",\"finish_reason\":\"stop\"}]}", 4);
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->text, " 42");
  EXPECT_FALSE(answer->truncated);
}

TEST(AnswerStream, ImpossibleCountsAreNone) {
  const auto answer = read(
      "data: {\"choices\": [{\"text\": \"x\", \"finish_reason\": \"stop\"}], "
      "\"usage\": {\"prompt_tokens\": -1, \"completion_tokens\": 9223372036854775807}}",
      4);
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->tokens, 0);
  EXPECT_EQ(answer->prompt_tokens, 0);
}

TEST(AnswerStream, WhatIsNoAnswerIsAnError) {
  EXPECT_NE(failure("").find("ended before"), std::string::npos);
  EXPECT_NE(failure(kAnswer.substr(0, kAnswer.find("length"))).find("no JSON"), std::string::npos);
  EXPECT_NE(failure(chunk(R"({"content": "Good "})")).find("ended before its answer did, after \"Good \""),
            std::string::npos);
  EXPECT_NE(failure("data: \xff\xfe{{{\n\n").find("no JSON object"), std::string::npos);
  EXPECT_NE(failure("data: [1, 2]\n\n").find("no JSON object"), std::string::npos);
  EXPECT_NE(failure("data: {}\n\n").find("no choices"), std::string::npos);
  EXPECT_NE(failure("data: {\"error\": {\"message\": \"out of memory\"}}\n\n").find("out of memory"),
            std::string::npos);
  EXPECT_NE(failure(chunk(R"({"tool_calls": [{"index": 4000000000}]})")).find("index"), std::string::npos);
  EXPECT_NE(failure(chunk(R"({"tool_calls": [{"index": -1}]})")).find("index"), std::string::npos);
  EXPECT_EQ(failure("<html>" + std::string(1000, 'x')).find("ended before"),
            failure("x").find("ended before"));
}

TEST(AnswerStream, BeginsAnewWhenARequestIsSentAgain) {
  AnswerStream stream;
  ASSERT_TRUE(stream.take(chunk(R"({"content": "half"})") + "data: {\"cho").ok());
  stream.restart();
  ASSERT_TRUE(stream.take(chunk(R"({"content": "whole"})", R"("stop")")).ok());
  EXPECT_EQ(std::move(stream).finish()->text, "whole");
}

}  // namespace
}  // namespace carat
