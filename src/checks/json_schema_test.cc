#include "checks/json_schema.h"

#include <filesystem>
#include <map>

#include "checks/check_testing.h"
#include "checks/json_value.h"

namespace carat {
namespace {

json::value value_of(std::string_view text) {
  auto v = parse_json(text);
  EXPECT_TRUE(v.ok()) << text;
  return v.ok() ? *std::move(v) : json::value();
}

/// "" where valid, else what is wrong.
std::string violation(std::string_view schema, std::string_view instance) {
  const auto compiled = JsonSchema::compile(value_of(schema));
  EXPECT_TRUE(compiled.ok()) << (compiled.ok() ? "" : compiled.error().message);
  if (!compiled.ok()) return "not compiled";
  const auto result = compiled->violation(value_of(instance));
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? *result : "no verdict";
}
std::string refusal(std::string_view schema) {
  const auto compiled = JsonSchema::compile(value_of(schema));
  EXPECT_FALSE(compiled.ok()) << schema;
  return compiled.ok() ? "" : compiled.error().message;
}

TEST(JsonValue, NumbersCompareAsNumbers) {
  const char* ascending[] = {"-9223372036854775808",
                             "-1.5",
                             "-1",
                             "-0.5",
                             "0",
                             "0.1",
                             "1",
                             "1.5",
                             "9007199254740992",
                             "9007199254740993",
                             "9223372036854775807",
                             "1e19",
                             "18446744073709551615",
                             "1e300"};
  for (size_t i = 1; i < std::size(ascending); ++i) {
    for (size_t j = i; j < std::size(ascending); ++j) {
      const auto parsed = parse_json(ascending[i]);
      if (!parsed.ok()) continue;
      const json::value a = *parsed, b = value_of(ascending[j]);
      EXPECT_EQ(compare_numbers(a, b), i == j ? 0 : -1) << ascending[i] << " " << ascending[j];
      EXPECT_EQ(compare_numbers(b, a), i == j ? 0 : 1) << ascending[i] << " " << ascending[j];
    }
  }
  EXPECT_TRUE(
      same_json(value_of("[1, {\"a\": 2.0, \"b\": null}]"), value_of("[1.0, {\"b\": null, \"a\": 2}]")));
  EXPECT_FALSE(same_json(value_of("[1, 2]"), value_of("[2, 1]")));
  EXPECT_FALSE(same_json(value_of("1"), value_of("true")));
  EXPECT_EQ(canonical_json(value_of("{\"b\": 1.0, \"a\": [-0.0]}")),
            canonical_json(value_of("{\"a\":[0],\"b\":1}")));
}

TEST(JsonValue, MultiplesAreDecimal) {
  const auto multiple = [](const char* a, const char* b) { return is_multiple(value_of(a), value_of(b)); };
  EXPECT_TRUE(multiple("0.0075", "0.0001"));
  EXPECT_TRUE(multiple("0.3", "0.1"));
  EXPECT_TRUE(multiple("19.99", "0.01"));
  EXPECT_FALSE(multiple("19.995", "0.01"));
  EXPECT_FALSE(multiple("1e308", "0.123456789"));
  EXPECT_TRUE(multiple("12391239123", "1e-8"));
  EXPECT_TRUE(multiple("-6", "1.5"));
  EXPECT_TRUE(multiple("0", "7"));
  EXPECT_FALSE(multiple("1e-300", "1"));
  EXPECT_TRUE(multiple("9223372036854775806", "2"));
  EXPECT_FALSE(multiple("9223372036854775807", "2"));
}

TEST(JsonSchema, SaysWhatIsWrongAndWhere) {
  const char* schema = R"({"type": "object", "required": ["a"], "additionalProperties": false,
    "properties": {"a": {"type": "array", "items": {"type": "integer", "minimum": 0}}}})";
  EXPECT_EQ(violation(schema, R"({"a": [1, 2.0]})"), "");
  EXPECT_EQ(violation(schema, R"({"a": [1, -2]})"), "at /a/1: the number is below the minimum");
  EXPECT_EQ(violation(schema, "{}"), "at /: 'a' is missing");
  EXPECT_EQ(violation(schema, R"({"a": [], "b/c": 1})"), "at /b~1c: nothing is allowed here");
  EXPECT_EQ(violation(schema, "[]"), "at /: the type is not allowed");
  EXPECT_EQ(violation("true", "1"), "");
  EXPECT_NE(violation("false", "1"), "");
}

TEST(JsonSchema, ReferencesStayInTheDocument) {
  const char* list =
      R"({"$defs": {"list": {"anyOf": [{"type": "null"}, {"type": "object", "required": ["next"],
    "properties": {"next": {"$ref": "#/$defs/list"}}}]}}, "$ref": "#/$defs/list"})";
  EXPECT_EQ(violation(list, R"({"next": {"next": null}})"), "");
  EXPECT_NE(violation(list, R"({"next": {"next": 1}})"), "");
  EXPECT_EQ(violation(R"~({"$ref": "#/$defs/a%25b~1c", "$defs": {"a%b/c": {"type": "string"}}})~", "\"\""),
            "");
  EXPECT_NE(refusal(R"({"$ref": "https://example.org/x"})").find("$ref"), std::string::npos);
  EXPECT_NE(refusal(R"({"$ref": "#/$defs/x"})").find("$ref"), std::string::npos);
  EXPECT_NE(refusal(R"({"$defs": {"a": {"$id": "b"}}})").find("$id"), std::string::npos);
  EXPECT_NE(refusal(R"({"$schema": "https://example.org/mine"})").find("$schema"), std::string::npos);
}

TEST(JsonSchema, MalformedSchemasNameTheKeyword) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"type": "text"})", "type"},
      {R"({"minLength": -1})", "minLength"},
      {R"({"pattern": "("})", "pattern"},
      {R"({"enum": 1})", "enum"},
      {R"({"anyOf": []})", "anyOf"},
      {R"({"multipleOf": 0})", "multipleOf"},
      {R"({"required": [1]})", "required"},
      {R"({"properties": []})", "properties"},
      {R"({"items": 1})", "items"},
      {R"({"patternProperties": {"[": {}}})", "patternProperties"},
      {R"({"properties": {"a": {"minimum": "1"}}})", "/properties/a"}};
  for (const auto& [schema, named] : cases)
    EXPECT_NE(refusal(schema).find(named), std::string::npos) << schema;
}

TEST(JsonSchema, OlderDraftsMeanWhatTheyMeant) {
  const std::string draft4 = R"({"$schema": "http://json-schema.org/draft-04/schema#", )";
  EXPECT_NE(violation(draft4 + R"("minimum": 3, "exclusiveMinimum": true})", "3"), "");
  EXPECT_EQ(violation(draft4 + R"("minimum": 3, "exclusiveMinimum": false})", "3"), "");
  EXPECT_EQ(violation(draft4 + R"("const": 3})", "4"), "");
  EXPECT_NE(violation(draft4 + R"("items": [{"type": "string"}], "additionalItems": false})", R"(["a", 1])"),
            "");
  EXPECT_NE(violation(draft4 + R"("dependencies": {"a": ["b"]}})", R"({"a": 1})"), "");
  EXPECT_EQ(
      violation(draft4 + R"("$ref": "#/definitions/x", "type": "string", "definitions": {"x": {}}})", "1"),
      "");
}

TEST(JsonSchema, FormatsAreAssertedWhereAskedFor) {
  struct Case {
    const char* format;
    std::vector<std::string> right, wrong;
  };
  const Case cases[] = {
      {"date",
       {"2024-02-29", "2000-12-31"},
       {"2023-02-29", "1900-02-29", "2024-13-01", "2024-1-1", "2024-01-01 "}},
      {"time",
       {"23:59:60Z", "00:00:00.5+01:00", "22:59:60-01:00"},
       {"24:00:00Z", "12:00:00", "12:00Z", "12:00:60Z"}},
      {"date-time",
       {"2024-01-01T00:00:00Z", "2024-01-01t00:00:00.123-08:00"},
       {"2024-01-01 00:00:00Z", "2024-01-01"}},
      {"duration",
       {"P1Y2M3DT4H5M6S", "PT36H", "P4W", "P1D"},
       {"P", "PT", "P1", "P1DT", "P1Y2W", "1D", "P1D2Y", "P1Y2D"}},
      {"email",
       {"joe.bloggs@example.com", "te~st@[127.0.0.1]", "\"a b\"@x.org"},
       {"a", "@b.c", ".a@b.c", "a..b@c.d", "a b@c.d"}},
      {"hostname", {"www.example.com", "a-1.b"}, {"-a", "a-", "a_b", "a..b", std::string(64, 'a'), ""}},
      {"ipv4", {"192.168.0.1"}, {"256.0.0.1", "1.2.3", "01.2.3.4", "1.2.3.4.5", "1.2.3.a"}},
      {"ipv6",
       {"::1", "::", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "1::8"},
       {"12345::", ":1", "1:2:3:4:5:6:7", "1::2::3", "1:2:3:4:5:6:7:8:9", "::1%eth0"}},
      {"uuid",
       {"2EB8AA08-AA98-11EA-B4AA-73B441D16380"},
       {"2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638z"}},
      {"uri",
       {"http://a.b/c?d=e#f", "urn:x:y", "mailto:a@b.c", "http://[::1]:80/"},
       {"//a.b", "/x", "a b", "http://a b", "http://x:y/", "bar,baz:x y", "%zz"}},
      {"uri-reference", {"/x", "a/b:c", "", "?q"}, {"a b", "1:2", "\\\\x"}},
      {"json-pointer", {"", "/a~0b/0"}, {"a", "/~2", "/~"}},
      {"relative-json-pointer", {"0#", "1/a", "120"}, {"/a", "-1", "01", ""}},
      {"regex", {"^a+$"}, {"("}},
      {"mine", {"anything"}, {}}};
  for (const Case& c : cases) {
    const json::value schema = {{"format", c.format}};
    const auto asserted = JsonSchema::compile(schema, JsonSchema::Formats::asserted);
    const auto noted = JsonSchema::compile(schema);
    ASSERT_TRUE(asserted.ok() && noted.ok());
    for (const auto& text : c.right)
      EXPECT_EQ(*asserted->violation(json::value(text)), "") << c.format << " " << text;
    for (const auto& text : c.wrong) {
      EXPECT_NE(*asserted->violation(json::value(text)), "") << c.format << " " << text;
      EXPECT_EQ(*noted->violation(json::value(text)), "");
    }
    EXPECT_EQ(*asserted->violation(json::value(1)), "");
  }
  EXPECT_FALSE(JsonSchema::compile({{"format", "iri"}}, JsonSchema::Formats::asserted).ok());
}

TEST(JsonSchema, LimitsEndInNoVerdict) {
  const auto no_verdict = [](std::string_view schema, std::string_view instance) {
    const auto compiled = JsonSchema::compile(value_of(schema));
    ASSERT_TRUE(compiled.ok());
    const auto result = compiled->violation(value_of(instance));
    EXPECT_FALSE(result.ok()) << schema;
  };
  no_verdict(R"({"$ref": "#"})", "1");
  no_verdict(R"({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})",
             "1");
  no_verdict(R"~({"pattern": "^(a+)+$"})~", "\"" + std::string(60, 'a') + "b\"");
  std::string doubling = R"({"$ref": "#/$defs/d0", "$defs": {)";
  for (int i = 0; i < 40; ++i) {
    const std::string next = R"({"$ref": "#/$defs/d)" + std::to_string(i + 1) + "\"}";
    doubling += "\"d" + std::to_string(i) + R"(": {"allOf": [)" + next + ", " + next + "]}, ";
  }
  no_verdict(doubling + R"("d40": {}}})", "1");
}

TEST(SchemaCheck, JudgesJsonAloneOrFenced) {
  const auto c = check_of("schema");
  const char* expected = R"({"schema": {"type": "object", "required": ["a"]}})";
  EXPECT_EQ(metric(judge(*c, " {\"a\": 1}\n", expected), "schema_valid"), 1);
  EXPECT_EQ(metric(judge(*c, "Here:\n```json\n{\"a\": 1}\n```\nDone.", expected), "schema_valid"), 1);
  const Verdict other = judge(*c, "{\"b\": 1}", expected);
  EXPECT_EQ(metric(other, "schema_valid"), 0);
  EXPECT_EQ(metric(other, "json_valid"), 1);
  EXPECT_EQ(other.reason, "at /: 'a' is missing");
  EXPECT_EQ(metric(judge(*c, "{\"a\": 1", expected), "json_valid"), 0);
  EXPECT_EQ(metric(judge(*c, std::string(100000, '['), expected), "json_valid"), 0);
  const std::string deep = std::string(150, '[') + std::string(150, ']');
  EXPECT_EQ(metric(judge(*c, deep, R"({"schema": {"items": {"$ref": "#"}}})"), "schema_valid"), 1);
  EXPECT_EQ(
      metric(judge(*check_of("schema", R"({"bare": true})"), "```\n{\"a\": 1}\n```", expected), "json_valid"),
      0);
  const Verdict outside = judge(*c, "1", R"({"schema": {"$ref": "other.json"}})");
  EXPECT_EQ(outside.kind, Verdict::Kind::unscored);
  EXPECT_NE(outside.reason.find("$ref"), std::string::npos);
}

struct Tally {
  int supported = 0, right = 0, outside = 0;
};

/// Judges `tests` of one schema; a wrong verdict is a failure that names it.
void tally(const json::value& schema, const json::array& tests, JsonSchema::Formats formats,
           const std::string& name, Tally& t) {
  const auto compiled = JsonSchema::compile(schema, formats);
  if (!compiled.ok()) {
    t.outside += static_cast<int>(tests.size());
    return;
  }
  for (const json::value& test : tests) {
    const auto result = compiled->violation(test.at("data"));
    if (!result.ok()) {
      ++t.outside;
      continue;
    }
    ++t.supported;
    const bool right = result->empty() == test.at("valid").as_bool();
    t.right += right;
    EXPECT_TRUE(right) << name << ": " << *result << "\n"
                       << json::serialize(test).substr(0, 500) << "\n"
                       << json::serialize(schema).substr(0, 1500);
  }
}

TEST(JsonSchema, EveryVerdictOnTheOfficialSuiteIsRight) {
  const std::string dir =
      std::string(CARAT_SOURCE_DIR) + "/../shared/data/json-schema-test-suite/draft2020-12";
  if (!std::filesystem::exists(dir)) GTEST_SKIP() << "shared/data/json-schema-test-suite is not here";
  Tally all;
  for (const auto& file : std::filesystem::directory_iterator(dir)) {
    std::ifstream in(file.path());
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    Tally t;
    const json::value groups = value_of(text);
    for (const json::value& group : groups.as_array()) {
      tally(group.at("schema"), group.at("tests").as_array(), JsonSchema::Formats::noted,
            file.path().stem().string(), t);
    }
    if (t.outside > 0)
      std::printf("%s: %d of %d outside\n", file.path().stem().c_str(), t.outside, t.outside + t.supported);
    all.supported += t.supported;
    all.outside += t.outside;
    all.right += t.right;
  }
  std::printf("official suite: %d judged, %d right, %d outside the subset\n", all.supported, all.right,
              all.outside);
  EXPECT_GE(all.supported, 700);
}

TEST(JsonSchema, EveryVerdictOnJsonSchemaBenchIsRight) {
  Tally t;
  for (const char* name : {"jsonschemabench/Glaiveai2K.jsonl", "jsonschemabench/Snowplow.jsonl"}) {
    for (const json::object& line : shared_lines(name)) {
      tally(line.at("schema"), line.at("tests").as_array(), JsonSchema::Formats::asserted,
            std::string(line.at("name").as_string()), t);
    }
  }
  if (t.supported == 0) GTEST_SKIP() << "shared/data/jsonschemabench is not here";
  std::printf("JSONSchemaBench: %d judged, %d right, %d outside the subset\n", t.supported, t.right,
              t.outside);
  EXPECT_GE(t.supported, 3000);
}

}  // namespace
}  // namespace carat
