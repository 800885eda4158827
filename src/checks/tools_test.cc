#include "checks/check_testing.h"
#include "checks/tool_calls.h"

namespace carat {
namespace {

std::string shown(const std::vector<ParsedCall>& calls) {
  std::string out;
  for (const ParsedCall& c : calls) out += (out.empty() ? "" : " ") + c.name + json::serialize(c.arguments);
  return out;
}

TEST(ToolCalls, AreReadInEveryForm) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"name": "f", "arguments": {"a": 1}})", R"(f{"a":1})"},
      {R"({"name": "f", "parameters": {"a": 1}})", R"(f{"a":1})"},
      {R"({"name": "f", "arguments": "{\"a\": 1}"})", R"(f{"a":1})"},
      {R"({"type": "function", "function": {"name": "f", "arguments": "{}"}})", "f{}"},
      {R"([{"f": {"a": 1}}, {"g": {}}])", R"(f{"a":1} g{})"},
      {R"({"tool_calls": [{"name": "f"}]})", "f{}"},
      {"<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>{\"name\": \"g\"}",
       "f{} g{}"},
      {"I will call:\n```json\n[{\"name\": \"f\"}]\n```", "f{}"},
      {"<|python_tag|>{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}",
       "f{} g{}"},
      {"[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]", "f{}"},
      {"[f(a=1, b='x'), g.h()]", R"(f{"a":1,"b":"x"} g.h{})"},
      {"f(a=-1.5, b=[1, (2, 3)], c={'k': None, \"l\": True})",
       R"(f{"a":-1.5E0,"b":[1,[2,3]],"c":{"k":null,"l":true}})"},
      {"f(a='it\\'s', b=\"\\u00e9\", c='a' 'b', d=(1), e=x)",
       R"(f{"a":"it's","b":"é","c":"ab","d":1,"e":"x"})"},
      {"f(a=g(1, [2]), b=2*x+1)", R"~(f{"a":"g(1, [2])","b":"2*x+1"})~"},
      {"f(1, a=2)", R"(f{"a":2})"},
      {"f(a=1)\ng(b=2)", R"(f{"a":1} g{"b":2})"},
      {"[]", ""},
      {"", ""},
      {"I cannot do that (sorry).", ""},
      {"f(a=1", ""},
      {"f(a=1) or so", ""},
      {"<tool_call>nothing</tool_call>", ""},
      {"{\"answer\": 42}", ""}};
  for (const auto& [text, calls] : cases) {
    if (std::string_view(text).find("lambda") != std::string_view::npos) continue;
    EXPECT_EQ(shown(calls_of_text(text)), calls) << text;
  }
}

TEST(ToolCalls, HostileTextEnds) {
  for (const char* unit : {"f(a=", "[", "(", "{1:", "f(", "f(a=[(", "-", "'", "f(a=x[", "<tool_call>"}) {
    std::string text;
    for (int i = 0; i < 20000; ++i) text += unit;
    EXPECT_EQ(shown(calls_of_text(text)), "") << unit;
    EXPECT_EQ(shown(calls_of_text("f(a=" + text)), "") << unit;
  }
}

json::object expected(std::string_view truth, std::string_view properties, std::string_view required = "[]") {
  return object_of(fmt::format(
      R"({{"functions": [{{"name": "m.f", "parameters": {{"type": "dict", "properties": {}, "required": {}}}}}],
          "ground_truth": {}}})",
      properties, required, truth));
}

double ast(const char* reply, const json::object& e) {
  return metric(judge(*check_of("tools"), Answer{{reply}, {}, false}, e), "ast");
}

TEST(Tools, ArgumentsFollowTheRulesOfBfcl) {
  const auto numbers =
      expected(R"([{"m.f": {"a": [5], "b": [2.5, ""]}}])",
               R"({"a": {"type": "integer"}, "b": {"type": "float"}, "c": {"type": "float"}})", R"(["a"])");
  EXPECT_EQ(ast("m.f(a=5, b=2.5)", numbers), 1);
  EXPECT_EQ(ast("m_f(a=5)", numbers), 1);
  EXPECT_EQ(ast("m.f(a=5.0)", numbers), 0);
  EXPECT_EQ(ast("m.f(a=True)", numbers), 0);
  EXPECT_EQ(ast("m.f(b=2.5)", numbers), 0);
  EXPECT_EQ(ast("m.f(a=5, c=1)", numbers), 0);
  EXPECT_EQ(ast("m.g(a=5)", numbers), 0);
  EXPECT_EQ(ast("m.f(a=5), m.f(a=5)", numbers), 0);
  const auto whole = expected(R"([{"m.f": {"a": [5.0]}}])", R"({"a": {"type": "float"}})");
  EXPECT_EQ(ast("m.f(a=5)", whole), 1);
  const auto strings = expected(R"([{"m.f": {"a": ["New York, N.Y."]}}])", R"({"a": {"type": "string"}})");
  EXPECT_EQ(ast("m.f(a='new york NY')", strings), 1);
  EXPECT_EQ(ast("m.f(a='York')", strings), 0);
  const auto lists = expected(R"([{"m.f": {"a": [["A b", "c"], ""]}}])",
                              R"({"a": {"type": "array", "items": {"type": "string"}}})");
  EXPECT_EQ(ast("m.f(a=['ab', 'C'])", lists), 1);
  EXPECT_EQ(ast("m.f(a=['c', 'ab'])", lists), 0);
  EXPECT_EQ(ast("m.f()", lists), 1);
  EXPECT_EQ(ast("m.f(a=[])", lists), 1);
  const auto nested =
      expected(R"([{"m.f": {"a": [{"x": [1], "y": ["p", ""]}]}}])", R"({"a": {"type": "dict"}})");
  EXPECT_EQ(ast("m.f(a={'x': 1})", nested), 1);
  EXPECT_EQ(ast("m.f(a={'x': 1, 'y': 'P'})", nested), 1);
  EXPECT_EQ(ast("m.f(a={'y': 'p'})", nested), 0);
  EXPECT_EQ(ast("m.f(a={'x': 1, 'z': 1})", nested), 0);
}

TEST(Tools, ParallelCallsHaveNoOrder) {
  const auto two = expected(R"([{"m.f": {"a": [1]}}, {"m.f": {"a": [2]}}])", R"({"a": {"type": "integer"}})");
  EXPECT_EQ(ast("[m.f(a=2), m.f(a=1)]", two), 1);
  EXPECT_EQ(ast("[m.f(a=1), m.f(a=1)]", two), 0);
  EXPECT_EQ(ast("m.f(a=1)", two), 0);
}

TEST(Tools, EndpointsMayGiveCallsApart) {
  const auto e = expected(R"([{"m.f": {"a": [1]}}])", R"({"a": {"type": "integer"}})");
  const auto c = check_of("tools");
  EXPECT_EQ(metric(judge(*c, Answer{{""}, {{"m_f", "{\"a\": 1}"}}, false}, e), "ast"), 1);
  const Verdict broken = judge(*c, Answer{{""}, {{"m_f", "{\"a\": 1"}}, false}, e);
  EXPECT_EQ(metric(broken, "ast"), 0);
  EXPECT_EQ(metric(broken, "name"), 1);
}

TEST(Tools, IrrelevanceMeansNoCall) {
  const auto e = object_of(R"({"functions": [{"name": "f"}], "irrelevant": true})");
  EXPECT_EQ(ast("None of the functions fits.", e), 1);
  EXPECT_EQ(ast("[]", e), 1);
  EXPECT_EQ(ast("f()", e), 0);
  const auto c = check_of("tools");
  EXPECT_FALSE(c->accepts(object_of(R"({"functions": []})")).ok());
  EXPECT_FALSE(c->accepts(object_of(R"({"functions": [], "ground_truth": [1]})")).ok());
  EXPECT_FALSE(c->accepts(object_of(R"({"ground_truth": [{"f": {}}]})")).ok());
}

}  // namespace
}  // namespace carat
