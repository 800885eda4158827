#include "checks/check.h"

#include <set>

#include "checks/check_testing.h"
#include "checks/numbers.h"

namespace carat {
namespace {

TEST(Checks, EveryKindIsListedOnceWithItsMetrics) {
  std::set<std::string_view> names;
  for (const CheckKind& kind : check_kinds()) {
    EXPECT_TRUE(names.insert(kind.name).second) << kind.name;
    EXPECT_FALSE(kind.metrics.empty()) << kind.name;
    EXPECT_EQ(find_check_kind(kind.name), &kind);
    EXPECT_NE(refused_settings(kind.name, R"({"no such key": 1})"), "") << kind.name;
  }
  EXPECT_EQ(find_check_kind("exac"), nullptr);
}

TEST(Exact, IsExactUnlessAskedOtherwise) {
  const auto plain = check_of("exact");
  EXPECT_EQ(metric(judge(*plain, "  Paris \n", R"({"answer": "Paris"})"), "exact"), 1);
  EXPECT_EQ(metric(judge(*plain, "paris", R"({"answer": "Paris"})"), "exact"), 0);
  EXPECT_EQ(metric(judge(*plain, "The Paris", R"({"answer": "Paris"})"), "exact"), 0);
  const auto squad =
      check_of("exact", R"({"ignore_case": true, "ignore_punctuation": true, "ignore_articles": true})");
  EXPECT_EQ(metric(judge(*squad, "the  \"PARIS\".", R"({"answer": "Paris"})"), "exact"), 1);
  EXPECT_EQ(metric(judge(*squad, "Theparis", R"({"answer": "Paris"})"), "exact"), 0);
  EXPECT_EQ(metric(judge(*squad, "ÉCOLE", R"({"answers": ["school", "École"]})"), "exact"), 1);
  EXPECT_EQ(metric(judge(*squad, "", R"({"answer": "The"})"), "exact"), 1);
}

TEST(Exact, F1CountsSharedWordsOfTheBestAnswer) {
  const auto c = check_of("exact");
  // 2 shared of 3 and 2: 2 * 2 / 5.
  EXPECT_DOUBLE_EQ(metric(judge(*c, "a b c", R"({"answers": ["x", "b a"]})"), "f1"), 0.8);
  EXPECT_DOUBLE_EQ(metric(judge(*c, "b b b", R"({"answer": "b"})"), "f1"), 0.5);
  EXPECT_DOUBLE_EQ(metric(judge(*c, "", R"({"answer": "b"})"), "f1"), 0);
}

TEST(Exact, FirstLineStopsWhereTheNextQuestionBegins) {
  const auto c = check_of("exact", R"({"first_line": true})");
  EXPECT_EQ(metric(judge(*c, "\n Onion\nQuestion: next", R"({"answer": "Onion"})"), "exact"), 1);
  EXPECT_EQ(metric(judge(*c, "\n\n", R"({"answer": "Onion"})"), "exact"), 0);
}

TEST(Exact, RepliesNeedNotBeText) {
  const auto c = check_of("exact", R"({"ignore_case": true})");
  EXPECT_EQ(metric(judge(*c, "\xff\xfe\x80", R"({"answer": "b"})"), "exact"), 0);
  EXPECT_EQ(metric(judge(*c, Answer{}, object_of(R"({"answer": "b"})")), "exact"), 0);
}

TEST(Settings, MistakesNameTheirKey) {
  EXPECT_NE(refused_settings("exact", R"({"ignore_case": 1})").find("ignore_case"), std::string::npos);
  EXPECT_NE(refused_settings("exact", R"({"ignorecase": true})").find("ignorecase"), std::string::npos);
  const auto c = check_of("exact");
  for (const char* wrong : {"{}", R"({"answer": 1})", R"({"answers": []})", R"({"answers": [1]})",
                            R"({"answer": "x", "other": 1})"}) {
    EXPECT_FALSE(c->accepts(object_of(wrong)).ok()) << wrong;
  }
}

TEST(Contains, GivesTheShareFound) {
  const auto c = check_of("contains");
  const Verdict v = judge(*c, "It was 4711, not 0815.", R"({"needed": ["4711", "12", "0815", "9"]})");
  EXPECT_DOUBLE_EQ(metric(v, "share"), 0.5);
  EXPECT_EQ(metric(v, "all"), 0);
  EXPECT_EQ(metric(v, "any"), 1);
  EXPECT_NE(v.reason.find("'12', '9'"), std::string::npos);
  EXPECT_EQ(metric(judge(*c, "a b", R"({"needed": "a b"})"), "all"), 1);
  EXPECT_EQ(metric(judge(*c, "", R"({"needed": "a"})"), "any"), 0);
  EXPECT_FALSE(c->accepts(object_of(R"({"needed": []})")).ok());
  EXPECT_FALSE(c->accepts(object_of(R"({"needed": [" "]})")).ok());
}

TEST(Contains, WholeWordsAreNotCutOutOfLongerOnes) {
  const auto c = check_of("contains", R"({"whole_words": true, "ignore_case": true})");
  EXPECT_EQ(metric(judge(*c, "Category", R"({"needed": "cat"})"), "all"), 0);
  EXPECT_EQ(metric(judge(*c, "The CAT, yes", R"({"needed": "cat"})"), "all"), 1);
  EXPECT_EQ(metric(judge(*c, "scat cat", R"({"needed": "cat"})"), "all"), 1);
  EXPECT_EQ(metric(judge(*c, "écat", R"({"needed": "cat"})"), "all"), 0);
  EXPECT_EQ(metric(judge(*c, "x+y", R"({"needed": "+"})"), "all"), 1);
}

struct NumberCase {
  const char* text;
  std::vector<double> values;
};

TEST(Numbers, AreReadAsTheyAreWritten) {
  const NumberCase cases[] = {
      {"", {}},
      {"18", {18}},
      {"$1,234.50 and 1,23", {1234.5, 1, 23}},
      {"12,345,678", {12345678}},
      {"1234,567", {1234, 567}},
      {"-3 7-5 (-2) \xe2\x88\x92"
       "4 -$6 a-1",
       {-3, 7, 5, -2, -4, -6, 1}},
      {"3/4, 1 1/2, 3/4/2025, 1/0", {0.75, 1.5, 3, 4, 2025, 1, 0}},
      {"\\frac{3}{4} 2\\frac12 \\frac{x}{2}", {0.75, 2.5, 2}},
      {".5 5. 5.x 1.2.3", {0.5, 5, 5, 1.2, 0.3}},
      {"2e3 2e 1.5E-2 2 x 10^3 3 \\times 10^{-2} 3 \xc3\x97 10^2", {2000, 2, 0.015, 2000, 0.03, 300}},
      {"1.5 million, 5k, 5km, 2 thousands", {1.5e6, 5000, 5, 2}},
      {"40% 40 percent 40\\%", {40, 40, 40}},
      {"x1 H2O a_3 B52", {}},
      {"7 apples, 8", {7, 8}},
      {"18.", {18}},
      {"007", {7}},
  };
  for (const NumberCase& c : cases) {
    std::vector<double> values;
    for (const WrittenNumber& n : find_numbers(c.text)) values.push_back(n.value);
    ASSERT_EQ(values.size(), c.values.size()) << c.text << ": " << fmt::format("{}", fmt::join(values, " "));
    for (size_t i = 0; i < values.size(); ++i) EXPECT_DOUBLE_EQ(values[i], c.values[i]) << c.text;
  }
}

TEST(Numeric, TakesWhatIsMarkedAndOtherwiseTheLast) {
  const auto c = check_of("numeric");
  const auto right = [&](const char* reply, const char* expected) {
    return metric(judge(*c, reply, expected), "numeric") == 1;
  };
  EXPECT_TRUE(right("9 + 9 = 18\n#### 18", R"({"answer": 18})"));
  EXPECT_TRUE(right("The answer is $1,800.00. Was 3 days.", R"({"answer": "1800"})"));
  EXPECT_TRUE(right("3 and 4, so 7", R"({"answer": 7})"));
  EXPECT_FALSE(right("7, since 3 and 4", R"({"answer": 7})"));
  EXPECT_TRUE(right("so the answer is 3 + 4 = 7 apples (of 9)", R"({"answer": 7})"));
  EXPECT_TRUE(right("\\boxed{\\frac{1}{2}}", R"({"answer": 0.5})"));
  EXPECT_TRUE(right("Answer: 5\nNo wait. Answer: 6", R"({"answer": 6})"));
  EXPECT_TRUE(right("It is 12 of them. The answer is clear.", R"({"answer": 12})"));
  EXPECT_TRUE(right("40%", R"({"answer": 0.4})"));
  EXPECT_TRUE(right("40%", R"({"answer": 40})"));
  EXPECT_TRUE(right("0.4", R"({"answer": "40%"})"));
  EXPECT_FALSE(right("0.4", R"({"answer": 40})"));
  EXPECT_FALSE(right("no idea", R"({"answer": 40})"));
  EXPECT_EQ(metric(judge(*c, "7", R"({"answer": 7})"), "marked"), 0);
  EXPECT_EQ(metric(judge(*c, "#### 7", R"({"answer": 7})"), "marked"), 1);
  EXPECT_FALSE(c->accepts(object_of(R"({"answer": "3 or 4"})")).ok());
  EXPECT_FALSE(c->accepts(object_of(R"({"answer": null})")).ok());
  EXPECT_FALSE(c->accepts(object_of("{}")).ok());
}

TEST(Numeric, Tolerances) {
  const auto absolute = check_of("numeric", R"({"tolerance": 0.01})");
  EXPECT_EQ(metric(judge(*absolute, "3.145", R"({"answer": 3.14})"), "numeric"), 1);
  EXPECT_EQ(metric(judge(*absolute, "3.16", R"({"answer": 3.14})"), "numeric"), 0);
  const auto relative = check_of("numeric", R"({"relative_tolerance": 0.01})");
  EXPECT_EQ(metric(judge(*relative, "1009", R"({"answer": 1000})"), "numeric"), 1);
  EXPECT_EQ(metric(judge(*relative, "1011", R"({"answer": 1000})"), "numeric"), 0);
}

TEST(Numeric, EverySolutionOfGsm8kIsRightAndItsNeighbourWrong) {
  const auto lines = shared_lines("gsm8k/test.jsonl");
  if (lines.empty()) GTEST_SKIP() << "shared/data/gsm8k is not here";
  const auto c = check_of("numeric");
  for (const json::object& line : lines) {
    const std::string solution(line.at("answer").as_string());
    const std::string answer = solution.substr(solution.find("####") + 4);
    const double value = find_numbers(answer).at(0).value;
    EXPECT_EQ(metric(judge(*c, Answer{{solution}, {}, false}, {{"answer", answer}}), "numeric"), 1) << answer;
    EXPECT_EQ(metric(judge(*c, Answer{{solution}, {}, false}, {{"answer", value + 1}}), "numeric"), 0);
  }
}

TEST(RegexCheck, ExtractsThenCompares) {
  const auto c = check_of("regex", R"~({"pattern": "answer: (\\w+)", "group": 1, "ignore_case": true})~");
  EXPECT_EQ(metric(judge(*c, "my answer: YES.", R"({"answer": "yes"})"), "regex"), 1);
  const Verdict no = judge(*c, "my answer: no.", R"({"answer": "yes"})");
  EXPECT_EQ(metric(no, "regex"), 0);
  EXPECT_EQ(metric(no, "found"), 1);
  EXPECT_EQ(no.extracted, "no");
  EXPECT_EQ(metric(judge(*c, "what?", R"({"answer": "yes"})"), "found"), 0);
  const auto last = check_of("regex", R"({"pattern": "[0-9]*", "take": "last"})");
  EXPECT_EQ(judge(*last, "12 13 14", R"({"answer": "14"})").extracted, "");
  const auto digits = check_of("regex", R"({"pattern": "[0-9]+", "take": "last"})");
  EXPECT_EQ(metric(judge(*digits, "12 13 14 ü", R"({"answer": "14"})"), "regex"), 1);
  EXPECT_EQ(metric(judge(*digits, "12", "{}"), "regex"), 1);
}

TEST(RegexCheck, WildPatternsEnd) {
  const auto c = check_of("regex", R"({"pattern": "^(a+)+$"})");
  const Verdict v = judge(*c, std::string(40, 'a') + "b", "{}");
  EXPECT_EQ(metric(v, "regex"), 0);
  EXPECT_NE(v.reason.find("ended early"), std::string::npos) << v.reason;
  EXPECT_EQ(metric(judge(*c, "\xff\xff", "{}"), "regex"), 0);
  EXPECT_NE(refused_settings("regex", R"({"pattern": "("})"), "");
  EXPECT_NE(refused_settings("regex", R"~({"pattern": "(a)", "group": 2})~"), "");
  EXPECT_NE(refused_settings("regex", "{}"), "");
}

TEST(LetterCheck, TakesLettersThatAreSetOff) {
  const auto c = check_of("letter");
  const auto chosen = [&](const char* reply) { return judge(*c, reply, R"({"answer": "B"})").extracted; };
  for (const char* reply :
       {"B", "B.", " (B)", "**B**", "B) because", "B because A is wrong", "The answer is B.",
        "The correct answer is (B), not A", "Answer: **B**", "**Answer:** B", "\\boxed{B}",
        "\\boxed{\\text{B}}", "A looks right, but the answer is option B", "I think it is (B), certainly.",
        "Answer: A? No. Answer: B", "B: Berlin", "\"B\""}) {
    EXPECT_EQ(chosen(reply), "B") << reply;
  }
  for (const char* reply :
       {"", "A dog is an animal", "Berlin", "It is (A) or (B)", "E", "b", "ABBA", "The answer is Berlin"}) {
    EXPECT_EQ(chosen(reply), "") << reply;
  }
  EXPECT_EQ(chosen("A"), "A");
  EXPECT_EQ(metric(judge(*c, "B", R"({"answer": "B"})"), "letter"), 1);
  EXPECT_EQ(metric(judge(*c, "C", R"({"answer": "B"})"), "letter"), 0);
  EXPECT_FALSE(c->accepts(object_of(R"({"answer": "E"})")).ok());
  EXPECT_NE(refused_settings("letter", R"({"letters": "AA"})"), "");
}

}  // namespace
}  // namespace carat
