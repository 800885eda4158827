#include "checks/tool_calls.h"

#include <algorithm>

#include "checks/fences.h"
#include "checks/plain_text.h"

namespace carat {

namespace {

/// Arguments as an object, or as one in a string.
std::optional<json::object> arguments_of(const json::value* v) {
  if (v == nullptr || v->is_null()) return json::object{};
  if (const auto* object = v->if_object()) return *object;
  if (const auto* text = v->if_string()) {
    if (trim(*text).empty()) return json::object{};
    const auto parsed = parse_json(*text);
    if (parsed.ok() && parsed->is_object()) return parsed->get_object();
  }
  return std::nullopt;
}

std::optional<ParsedCall> call_of_object(const json::object& o) {
  if (const auto* function = json_object(o.if_contains("function"))) return call_of_object(*function);
  const json::string* name = json_string(o.if_contains("name"));
  if (name == nullptr) name = json_string(o.if_contains("function"));
  const json::value* arguments = o.if_contains("arguments");
  if (arguments == nullptr) arguments = o.if_contains("parameters");
  if (name != nullptr) {
    auto read = arguments_of(arguments);
    if (!read) return std::nullopt;
    return ParsedCall{std::string(*name), *std::move(read)};
  }
  if (o.size() == 1 && o.begin()->value().is_object()) {
    return ParsedCall{std::string(o.begin()->key()), o.begin()->value().get_object()};
  }
  return std::nullopt;
}

std::string_view after(std::string_view text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

std::optional<std::vector<ParsedCall>> calls_of_code(std::string_view text) {
  text = trim(text);
  if (text.empty()) return std::nullopt;
  if (const auto value = parse_json(text); value.ok()) return calls_of_json(*value);
  return calls_of_python(text);
}

void append(std::vector<ParsedCall>& to, std::optional<std::vector<ParsedCall>> calls) {
  if (!calls) return;
  for (ParsedCall& call : *calls) to.push_back(std::move(call));
}

}  // namespace

std::optional<std::vector<ParsedCall>> calls_of_json(const json::value& value) {
  if (const auto* o = value.if_object()) {
    if (const auto* list = o->if_contains("tool_calls")) return calls_of_json(*list);
    auto call = call_of_object(*o);
    if (!call) return std::nullopt;
    return std::vector<ParsedCall>{*std::move(call)};
  }
  const auto* array = value.if_array();
  if (array == nullptr) return std::nullopt;
  std::vector<ParsedCall> calls;
  for (const json::value& item : *array) {
    auto call = item.is_object() ? call_of_object(item.get_object()) : std::nullopt;
    if (!call) return std::nullopt;
    calls.push_back(*std::move(call));
  }
  return calls;
}

std::vector<ParsedCall> calls_of_text(std::string_view text) {
  const std::string clean = clean_utf8(text);
  std::string_view rest = trim(clean);
  std::vector<ParsedCall> calls;
  constexpr std::string_view open = "<tool_call>", close = "</tool_call>";
  if (rest.find(open) != std::string_view::npos) {
    for (size_t at = rest.find(open); at != std::string_view::npos; at = rest.find(open, at)) {
      at += open.size();
      const size_t end = std::min(rest.find(close, at), rest.size());
      append(calls, calls_of_code(rest.substr(at, end - at)));
      at = end;
    }
    return calls;
  }
  rest = trim(after(after(rest, "<|python_tag|>"), "[TOOL_CALLS]"));
  const auto blocks = fenced_blocks(rest);
  if (blocks.size() == 1) rest = blocks[0].text;
  if (auto whole = calls_of_code(rest)) return *std::move(whole);
  // Llama 3 separates several JSON objects by semicolons; others write one a line.
  for (const char separator : {';', '\n'}) {
    bool all = true;
    std::vector<ParsedCall> parts;
    for (size_t at = 0; at <= rest.size() && all;) {
      const size_t end = std::min(rest.find(separator, at), rest.size());
      const std::string_view part = trim(rest.substr(at, end - at));
      if (!part.empty()) {
        auto part_calls = calls_of_code(part);
        all = part_calls.has_value();
        append(parts, std::move(part_calls));
      }
      at = end + 1;
    }
    if (all) return parts;
  }
  return {};
}

}  // namespace carat
