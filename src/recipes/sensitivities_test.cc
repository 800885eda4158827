#include "recipes/sensitivities.h"

#include <gtest/gtest.h>

namespace carat {
namespace {

const SensitivityOrigin kOrigin{"m", "t", "search 2", ""};

TensorSensitivity example(std::string name, double kl = 0.1 + 0.2) {
  return {std::move(name),
          find_encoding("Q4_0"),
          kl,
          {{find_encoding("Q8_0"), 1e-5 / 3}, {find_encoding("Q4_0"), 4e-3}}};
}

TEST(Sensitivities, SurviveTheFileToTheBit) {
  const std::string text =
      format_origin(kOrigin) + format_sensitivity(example("a\"b")) + format_sensitivity(example("c", 0));
  const auto read = parse_sensitivities(text, "f", kOrigin);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->whole_bytes, text.size());
  ASSERT_EQ(read->tensors.size(), 2u);
  const TensorSensitivity& t = read->tensors.at("a\"b");
  EXPECT_EQ(t.kl, 0.1 + 0.2);
  EXPECT_EQ(t.probe, find_encoding("Q4_0"));
  ASSERT_EQ(t.errors.size(), 2u);
  EXPECT_EQ(t.errors[0].error, 1e-5 / 3);
}

TEST(Sensitivities, PredictByTheRatioOfErrors) {
  const TensorSensitivity t = example("a");
  EXPECT_DOUBLE_EQ(*t.predicted_kl(*find_encoding("Q4_0")), t.kl);
  EXPECT_DOUBLE_EQ(*t.predicted_kl(*find_encoding("Q8_0")), t.kl * (1e-5 / 3) / 4e-3);
  EXPECT_FALSE(t.predicted_kl(*find_encoding("Q6_K")));
}

TEST(Sensitivities, ALineThatWasCutOffIsLeftOut) {
  const std::string whole = format_origin(kOrigin) + format_sensitivity(example("a"));
  const std::string next = format_sensitivity(example("b"));
  for (size_t n = 0; n < next.size(); n += 7) {
    const auto read = parse_sensitivities(whole + next.substr(0, n), "f", kOrigin);
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read->whole_bytes, whole.size());
    EXPECT_EQ(read->tensors.size(), 1u);
  }
}

TEST(Sensitivities, OfATensorMeasuredAgainTheLastHold) {
  const std::string text =
      format_origin(kOrigin) + format_sensitivity(example("a", 1.0)) + format_sensitivity(example("a", 2.0));
  const auto read = parse_sensitivities(text, "f", kOrigin);
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->tensors.size(), 1u);
  EXPECT_EQ(read->tensors.at("a").kl, 2.0);
}

TEST(Sensitivities, OfSomethingElseAreRefused) {
  const std::string text = format_origin(kOrigin) + format_sensitivity(example("a"));
  const auto refused = [&](SensitivityOrigin origin) {
    const auto read = parse_sensitivities(text, "f", origin);
    EXPECT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, Code::usage);
    return read.error().message;
  };
  EXPECT_NE(refused({"x", "t", "search 2", ""}).find("another model"), std::string::npos);
  EXPECT_NE(refused({"m", "x", "search 2", ""}).find("calibration text"), std::string::npos);
  EXPECT_NE(refused({"m", "t", "gptq 2", ""}).find("search 2"), std::string::npos);
  EXPECT_NE(refused({"m", "t", "search 2", "x"}).find("statistics"), std::string::npos);
}

TEST(Sensitivities, DamagedFilesSayWhere) {
  const std::string head = format_origin(kOrigin);
  const std::string good = format_sensitivity(example("a"));
  const std::pair<std::string, std::string> cases[] = {
      {"nonsense\n", "f:1"},
      {"no newline at all", "not a file of sensitivities"},
      {"{}\n", "not a file of sensitivities"},
      {"{\"carat_sensitivities\":3}\n", "version 3"},
      {"{\"carat_sensitivities\":1}\n", "delete it, and what it holds is measured again"},
      {head + "[]\n", "f:2"},
      {head + "{\"tensor\":\"a\",\"probe\":\"Q9\",\"kl\":1,\"errors\":{}}\n", "probe"},
      {head + "{\"tensor\":\"a\",\"probe\":\"Q4_0\",\"kl\":-1,\"errors\":{}}\n", "kl"},
      {head + "{\"tensor\":\"a\",\"probe\":\"Q4_0\",\"kl\":1e999,\"errors\":{}}\n", "f:2"},
      {head + "{\"tensor\":\"a\",\"probe\":\"Q4_0\",\"kl\":1,\"errors\":{\"Q2_0\":1}}\n", "Q2_0"},
      {head + "{\"tensor\":\"a\",\"probe\":\"Q4_0\",\"kl\":1,\"errors\":{\"Q4_0\":\"1\"}}\n", "Q4_0"},
  };
  for (const auto& [text, says] : cases) {
    const auto read = parse_sensitivities(text, "f", kOrigin);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.error().code, Code::bad_data) << text;
    EXPECT_NE(read.error().message.find(says), std::string::npos) << read.error().message;
  }
}

TEST(Sensitivities, ABitThatFellOverIsNoticed) {
  const std::string head = format_origin(kOrigin), good = format_sensitivity(example("a"));
  for (size_t i = 0; i < good.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string line = good;
      line[i] = static_cast<char>(line[i] ^ (1 << bit));
      const auto read = parse_sensitivities(head + line, "f", kOrigin);
      EXPECT_TRUE(!read.ok() || read->tensors.empty()) << line;  // the latter without its end
    }
}

}  // namespace
}  // namespace carat
