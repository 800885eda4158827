// Tool calls in a reply's text, in the forms that models write them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "containers/json.h"

namespace carat {

struct ParsedCall {
  std::string name;
  json::object arguments;
};

/// {"name": ..., "arguments" or "parameters": {...}}, the same inside "function", {name: {...}}, arrays and
/// {"tool_calls": [...]} of these; arguments may be JSON in a string. Nothing where it is none of that.
std::optional<std::vector<ParsedCall>> calls_of_json(const json::value& value);

/// f(a=1, b='x'), [f(a=1), g()]: names with dots, Python's literals, lists, tuples (as arrays), dictionaries;
/// any other expression is kept as its text. Arguments without a name are dropped. Linear; nothing where it
/// does not parse to the end.
std::optional<std::vector<ParsedCall>> calls_of_python(std::string_view text);

/// What a reply calls: inside <tool_call> tags, behind <|python_tag|> or [TOOL_CALLS], else the whole reply
/// or its only fenced block, as JSON or as Python. Empty where it calls nothing, which any prose does.
std::vector<ParsedCall> calls_of_text(std::string_view text);

}  // namespace carat
