// Judges what tools/oracle_checks.py sends, one JSON object a line: {"check", "settings", "expected",
// "reply"} gives
// {"kind", "metrics", "reason"} or {"error"}; {"schema", "instance", "formats"} gives {"valid"} or {"error"};
// {"python_calls"} gives {"calls"}; {"sentences"} a count, {"language"} a code or null.
#include <iostream>
#include <string>

#include "checks/check.h"
#include "checks/json_schema.h"
#include "checks/language.h"
#include "checks/sentences.h"
#include "checks/tool_calls.h"

namespace carat {
namespace {

json::object failure(const Error& e) { return {{"error", e.message}}; }

json::object judged(const json::object& request) {
  const CheckKind* kind = find_check_kind(request.at("check").as_string());
  if (kind == nullptr) return {{"error", "no such check"}};
  const auto check = kind->make(request.at("settings").as_object());
  if (!check) return failure(check.error());
  const json::object& expected = request.at("expected").as_object();
  if (const Status accepted = (*check)->accepts(expected); !accepted) return failure(accepted.error());
  ThreadPool pool(1);
  Cancellation cancellation;
  Progress progress;
  const Context context{pool, cancellation, progress};
  const auto verdict =
      (*check)->judge(context, Answer{{std::string(request.at("reply").as_string())}, {}, false}, expected);
  if (!verdict) return failure(verdict.error());
  json::object metrics;
  for (const auto& [name, value] : verdict->metrics) metrics[name] = value;
  return {{"kind", verdict->kind == Verdict::Kind::scored ? "scored" : "unscored"},
          {"metrics", metrics},
          {"reason", verdict->reason}};
}

json::object answered(const json::object& request) {
  if (request.contains("check")) return judged(request);
  if (request.contains("schema")) {
    const auto formats =
        request.at("formats").as_bool() ? JsonSchema::Formats::asserted : JsonSchema::Formats::noted;
    const auto schema = JsonSchema::compile(request.at("schema"), formats);
    if (!schema) return failure(schema.error());
    const auto violation = schema->violation(request.at("instance"));
    if (!violation) return failure(violation.error());
    return {{"valid", violation->empty()}, {"reason", *violation}};
  }
  if (const auto* text = request.if_contains("python_calls")) {
    const auto calls = calls_of_python(text->as_string());
    if (!calls) return {{"calls", nullptr}};
    json::array out;
    for (const ParsedCall& call : *calls) out.push_back(json::object{{call.name, call.arguments}});
    return {{"calls", out}};
  }
  if (const auto* text = request.if_contains("sentences"))
    return {{"sentences", count_sentences(text->as_string())}};
  const auto language = detect_language(request.at("language").as_string());
  return {{"language", language ? json::value(json::string(*language)) : json::value()}};
}

}  // namespace
}  // namespace carat

int main() {
  using namespace carat;
  for (std::string line; std::getline(std::cin, line);) {
    const auto request = parse_json(line);
    const json::object answer = request.ok() && request->is_object()
                                    ? answered(request->get_object())
                                    : json::object{{"error", "not a JSON object"}};
    std::cout << json::serialize(answer) << std::endl;
  }
}
