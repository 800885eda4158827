// schema: the reply is JSON, alone or in a fenced block, and valid under the item's schema.
#include "checks/fences.h"
#include "checks/json_schema.h"
#include "checks/kinds.h"
#include "checks/plain_text.h"

namespace carat {

namespace {

class Schema final : public Check {
 public:
  Schema(bool bare, JsonSchema::Formats formats) : bare_(bare), formats_(formats) {}

  /// A schema outside the subset is accepted: a suite of many schemas is not refused for a few of them.
  Status accepts(const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    const json::value* schema = e.any("schema");
    if (schema == nullptr || (!schema->is_object() && !schema->is_bool())) {
      e.refuse("schema", "must be a JSON Schema");
    }
    return e.finish();
  }

  Result<Verdict> judge(const Context&, const Answer& answer, const json::object& expected) const override {
    const json::value* source = expected.if_contains("schema");
    if (source == nullptr) return bad_data("what the item expects: 'schema' is missing");
    Verdict v;
    v.metrics = {{"schema_valid", 0}, {"json_valid", 0}};
    const std::string_view reply = last_reply(answer);
    auto value = parse_json(reply);
    if (!value && !bare_) {
      const auto blocks = fenced_blocks(reply);
      if (blocks.size() == 1) value = parse_json(blocks[0].text);
    }
    v.extracted = excerpt(reply, 2000);
    if (value.ok()) v.metrics[1].second = 1;
    const auto schema = JsonSchema::compile(*source, formats_);
    const auto violation = !schema      ? Result<std::string>(schema.error())
                           : value.ok() ? schema->violation(*value)
                                        : Result<std::string>(value.error().message);
    if (!violation) {
      v = Verdict{};
      v.kind = Verdict::Kind::unscored;
      v.reason = violation.error().message + ".";
      return v;
    }
    if (violation->empty()) v.metrics[0].second = 1;
    v.reason = *violation;
    return v;
  }

 private:
  bool bare_;
  JsonSchema::Formats formats_;
};

}  // namespace

Result<std::unique_ptr<Check>> make_schema(const json::object& settings) {
  Settings s(settings, "check 'schema'");
  const bool bare = s.flag("bare", false);
  const auto formats = s.flag("formats", true) ? JsonSchema::Formats::asserted : JsonSchema::Formats::noted;
  CARAT_DO(s.finish());
  return std::make_unique<Schema>(bare, formats);
}

}  // namespace carat
