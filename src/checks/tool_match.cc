#include "checks/tool_match.h"

#include <algorithm>

#include "checks/json_value.h"
#include "checks/plain_text.h"
#include "text/utf8.h"

namespace carat {

namespace {

enum class Type { none, boolean, integer, real, string, list, dictionary };

Type type_of(const json::value& v) {
  switch (v.kind()) {
    case json::kind::bool_:
      return Type::boolean;
    case json::kind::int64:
    case json::kind::uint64:
      return Type::integer;
    case json::kind::double_:
      return Type::real;
    case json::kind::string:
      return Type::string;
    case json::kind::array:
      return Type::list;
    case json::kind::object:
      return Type::dictionary;
    default:
      return Type::none;
  }
}

/// BFCL's names, and JSON Schema's for the same; "any" means a string there too.
std::optional<Type> type_named(std::string_view name) {
  constexpr std::pair<std::string_view, Type> names[] = {
      {"string", Type::string},    {"any", Type::string},  {"integer", Type::integer},
      {"float", Type::real},       {"number", Type::real}, {"boolean", Type::boolean},
      {"array", Type::list},       {"tuple", Type::list},  {"dict", Type::dictionary},
      {"object", Type::dictionary}};
  for (const auto& [n, type] : names) {
    if (n == name) return type;
  }
  return std::nullopt;
}

bool is_empty_string(const json::value& v) { return v.is_string() && v.get_string().empty(); }

/// Python's ==: True is 1.
bool python_equal(const json::value& a, const json::value& b) {
  const auto number = [](const json::value& v) {
    return v.is_bool() ? json::value(v.get_bool() ? 1 : 0) : v;
  };
  if (a.is_array() && b.is_array()) {
    const auto &x = a.get_array(), &y = b.get_array();
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), python_equal);
  }
  if (a.is_object() && b.is_object()) {
    const auto &x = a.get_object(), &y = b.get_object();
    return x.size() == y.size() && std::all_of(x.begin(), x.end(), [&](const auto& member) {
             const json::value* other = y.if_contains(member.key());
             return other != nullptr && python_equal(member.value(), *other);
           });
  }
  return same_json(number(a), number(b));
}

/// Strings without spaces and ,./-_*^, in lower case, with one kind of quotes; other values as they are.
json::value standard(const json::value& v) {
  if (!v.is_string()) return v;
  std::string out;
  for (const char c : lower_case(clean_utf8(v.get_string()))) {
    if (std::string_view(" ,./-_*^").find(c) == std::string_view::npos) out.push_back(c == '\'' ? '"' : c);
  }
  return json::value(json::string(out));
}
json::value standard_items(const json::array& items) {
  json::array out;
  for (const json::value& item : items) out.push_back(standard(item));
  return out;
}
bool among(const json::value& v, const json::array& allowed) {
  return std::any_of(allowed.begin(), allowed.end(),
                     [&](const json::value& a) { return python_equal(v, a); });
}

/// The type of the first allowed value that is not the mark of an optional argument.
std::optional<Type> type_of_allowed(const json::array& allowed) {
  for (const json::value& a : allowed) {
    if (!is_empty_string(a)) return type_of(a);
  }
  return std::nullopt;
}

enum class Fit { no, value, variable };  // variable: what the truth holds is of another type than described

Fit type_fit(const json::value& v, const json::array& allowed, Type expected, std::optional<Type> nested) {
  const std::optional<Type> usual = type_of_allowed(allowed);
  if (type_of(v) == expected) {
    const Fit fit = usual && *usual != expected ? Fit::variable : Fit::value;
    if (!nested) return fit;
    for (const json::value& answer : allowed) {
      const json::array* items = answer.if_array();
      const bool fits = items == nullptr || !v.is_array() ||
                        std::all_of(v.get_array().begin(), v.get_array().end(), [&](const json::value& item) {
                          return type_fit(item, *items, *nested, std::nullopt) != Fit::no;
                        });
      if (fits) return fit;
    }
    return Fit::no;
  }
  return usual && type_of(v) == *usual ? Fit::variable : Fit::no;
}

/// What a list of allowed values says of one member of a dictionary; a lone value stands for a list of it.
json::array allowed_values(const json::value& v) { return v.is_array() ? v.get_array() : json::array{v}; }

bool dictionary_matches(const json::object& given, const json::value& answer) {
  const json::object* wanted = answer.if_object();
  if (wanted == nullptr) return false;
  for (const auto& [key, value] : given) {
    const json::value* values = wanted->if_contains(key);
    if (values == nullptr) return false;
    const json::value allowed = standard_items(allowed_values(*values));
    if (!among(standard(value), allowed.get_array())) return false;
  }
  return std::all_of(wanted->begin(), wanted->end(), [&](const auto& member) {
    const json::array allowed = allowed_values(member.value());
    return given.contains(member.key()) || std::any_of(allowed.begin(), allowed.end(), is_empty_string);
  });
}

/// "" in place of a list is what allows an empty one.
json::array as_list(const json::value& answer) {
  return answer.is_array() ? answer.get_array() : json::array{};
}

bool value_matches(const json::value& v, const json::array& allowed, Type expected,
                   std::optional<Type> nested) {
  const auto any = [&](auto matches) { return std::any_of(allowed.begin(), allowed.end(), matches); };
  if (expected == Type::dictionary) {
    return any([&](const json::value& a) { return dictionary_matches(v.get_object(), a); });
  }
  if (expected == Type::list && nested == Type::dictionary) {
    const json::array& items = v.get_array();
    return any([&](const json::value& a) {
      const json::array wanted = as_list(a);
      return std::equal(items.begin(), items.end(), wanted.begin(), wanted.end(),
                        [](const json::value& item, const json::value& answer) {
                          return item.is_object() && dictionary_matches(item.get_object(), answer);
                        });
    });
  }
  if (expected == Type::list) {
    const json::value given = standard_items(v.get_array());
    return any([&](const json::value& a) {
      return (a.is_array() || is_empty_string(a)) && python_equal(given, standard_items(as_list(a)));
    });
  }
  if (expected == Type::string) {
    return any([&](const json::value& a) { return a.is_string() && standard(a) == standard(v); });
  }
  return among(v, allowed);
}

/// The description of a function, out of OpenAI's wrapping.
const json::object* described(const json::array& functions, std::string_view name) {
  for (const json::value& f : functions) {
    const json::object* o = f.if_object();
    if (o == nullptr) continue;
    if (const auto* inner = json_object(o->if_contains("function"))) o = inner;
    const auto* own = json_string(o->if_contains("name"));
    if (own != nullptr && *own == name) return o;
  }
  return nullptr;
}

std::string call_mismatch(const ParsedCall& call, const json::object& function, const std::string& name,
                          const json::object& answers) {
  if (!same_function(call.name, name)) {
    return fmt::format("it calls {} instead of {}", excerpt(call.name, 60), name);
  }
  static const json::object none;
  const json::object* parameters = json_object(function.if_contains("parameters"));
  const json::object* properties = parameters ? json_object(parameters->if_contains("properties")) : nullptr;
  if (const auto* required = parameters ? json_array(parameters->if_contains("required")) : nullptr) {
    for (const json::value& r : *required) {
      if (r.is_string() && !call.arguments.contains(r.get_string())) {
        return fmt::format("{} lacks '{}'", name, std::string_view(r.get_string()));
      }
    }
  }
  for (const auto& [key, value] : call.arguments) {
    const json::object* property = properties ? json_object(properties->if_contains(key)) : nullptr;
    const json::array* allowed = json_array(answers.if_contains(key));
    if (property == nullptr || allowed == nullptr) {
      return fmt::format("{} has no argument '{}'", name, excerpt(key, 60));
    }
    const auto* type = json_string(property->if_contains("type"));
    const std::optional<Type> expected = type ? type_named(*type) : std::nullopt;
    if (!expected) return fmt::format("the type of argument '{}' is not known", std::string_view(key));
    std::optional<Type> nested;
    if (*expected == Type::list) {
      const auto* items = json_object(property->if_contains("items"));
      const auto* inner = items ? json_string(items->if_contains("type")) : nullptr;
      nested = inner ? type_named(*inner) : std::nullopt;
    }
    json::value given = value;
    if (*expected == Type::real && type_of(value) == Type::integer) given = value.to_number<double>();
    const Fit fit = type_fit(given, *allowed, *expected, nested);
    if (fit == Fit::no)
      return fmt::format("argument '{}' of {} has the wrong type", std::string_view(key), name);
    const bool matches =
        fit == Fit::value ? value_matches(given, *allowed, *expected, nested) : among(given, *allowed);
    if (!matches) return fmt::format("argument '{}' of {} has the wrong value", std::string_view(key), name);
  }
  for (const auto& [key, values] : answers) {
    const json::array* allowed = values.if_array();
    const bool optional =
        allowed != nullptr && std::any_of(allowed->begin(), allowed->end(), is_empty_string);
    if (!call.arguments.contains(key) && !optional) {
      return fmt::format("{} lacks '{}'", name, std::string_view(key));
    }
  }
  return {};
}

}  // namespace

bool same_function(const std::string& given, const std::string& wanted) {
  return std::equal(given.begin(), given.end(), wanted.begin(), wanted.end(),
                    [](char g, char w) { return g == w || (w == '.' && g == '_'); });
}

std::string mismatch(const std::vector<ParsedCall>& calls, const json::array& functions,
                     const json::array& truth) {
  if (calls.size() != truth.size()) {
    return fmt::format("there are {} calls instead of {}", calls.size(), truth.size());
  }
  std::vector<bool> used(calls.size(), false);
  for (const json::value& t : truth) {
    const json::object* wanted = t.if_object();
    if (wanted == nullptr || wanted->size() != 1 || !wanted->begin()->value().is_object()) {
      return "the expected call is malformed";
    }
    const std::string name(wanted->begin()->key());
    const json::object* function = described(functions, name);
    if (function == nullptr) return fmt::format("{} is not described", name);
    std::string why;
    bool found = false;
    for (size_t i = 0; i < calls.size() && !found; ++i) {
      if (used[i]) continue;
      const std::string wrong =
          call_mismatch(calls[i], *function, name, wanted->begin()->value().get_object());
      found = wrong.empty();
      if (found) used[i] = true;
      if (why.empty() || same_function(calls[i].name, name)) why = wrong;
    }
    if (!found) return why;
  }
  return {};
}

}  // namespace carat
