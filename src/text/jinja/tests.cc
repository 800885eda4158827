// The tests of `is`.
#include <fmt/format.h>

#include <array>

#include "text/jinja/interpreter.h"

namespace carat::jinja {
namespace {

const Value& argument(const Arguments& a, std::string_view test) {
  const Value* v = a.find(0, "other");
  if (!v) fail(fmt::format("the test '{}' needs an argument", test));
  return *v;
}

/// Python's v % by.
Value remainder(Interpreter& in, const Value& v, const Value& by) {
  if (!v.is_number()) fail(fmt::format("a number is needed, not {}", type_name(v)));
  return in.arithmetic("%", v, by);
}

using Test = bool (*)(Interpreter&, const Value&, const Arguments&);
struct Entry {
  std::string_view name;
  Test test;
};

const Entry tests[] = {
    {"defined", [](Interpreter&, const Value& v, const Arguments&) { return !v.is_undefined(); }},
    {"undefined", [](Interpreter&, const Value& v, const Arguments&) { return v.is_undefined(); }},
    {"none", [](Interpreter&, const Value& v, const Arguments&) { return v.is_none(); }},
    {"boolean", [](Interpreter&, const Value& v, const Arguments&) { return v.get<bool>() != nullptr; }},
    {"true", [](Interpreter&, const Value& v, const Arguments&) { return v.get<bool>() && *v.get<bool>(); }},
    {"false",
     [](Interpreter&, const Value& v, const Arguments&) { return v.get<bool>() && !*v.get<bool>(); }},
    {"integer", [](Interpreter&, const Value& v, const Arguments&) { return v.get<int64_t>() != nullptr; }},
    {"float", [](Interpreter&, const Value& v, const Arguments&) { return v.get<double>() != nullptr; }},
    {"number", [](Interpreter&, const Value& v, const Arguments&) { return v.is_number(); }},
    {"string", [](Interpreter&, const Value& v, const Arguments&) { return v.text() != nullptr; }},
    {"mapping", [](Interpreter&, const Value& v, const Arguments&) { return v.dict() != nullptr; }},
    {"sequence",
     [](Interpreter&, const Value& v, const Arguments&) {
       return v.text() || v.dict() || (v.list() && v.list()->kind != List::generator) || v.is_undefined();
     }},
    {"iterable", [](Interpreter&, const Value& v,
                    const Arguments&) { return v.text() || v.dict() || v.list() || v.is_undefined(); }},
    {"callable", [](Interpreter&, const Value& v,
                    const Arguments&) { return v.function() != nullptr || v.is_undefined(); }},
    {"odd", [](Interpreter& in, const Value& v, const Arguments&) { return equal(remainder(in, v, 2), 1); }},
    {"even", [](Interpreter& in, const Value& v, const Arguments&) { return equal(remainder(in, v, 2), 0); }},
    {"divisibleby",
     [](Interpreter& in, const Value& v, const Arguments& a) {
       const Value* by = a.find(0, "num");
       if (!by) fail("the test 'divisibleby' needs an argument");
       return equal(remainder(in, v, *by), 0);
     }},
    {"in",
     [](Interpreter& in, const Value& v, const Arguments& a) { return in.contains(argument(a, "in"), v); }},
    {"sameas",
     [](Interpreter&, const Value& v, const Arguments& a) {
       const Value& other = argument(a, "sameas");
       return type_name(v) == type_name(other) && equal(v, other);
     }},
    {"upper", [](Interpreter& in, const Value& v,
                 const Arguments&) { return has_case(*to_text(in, v).text(), Case::upper); }},
    {"lower", [](Interpreter& in, const Value& v,
                 const Arguments&) { return has_case(*to_text(in, v).text(), Case::lower); }},
    {"filter",
     [](Interpreter&, const Value& v, const Arguments&) { return v.text() && has_filter(v.text()->bytes); }},
    {"test",
     [](Interpreter&, const Value& v, const Arguments&) { return v.text() && has_test(v.text()->bytes); }},
    {"escaped", [](Interpreter&, const Value&, const Arguments&) { return false; }},
};

/// Comparisons have a sign and several names.
struct Comparison {
  std::array<std::string_view, 3> names;
  bool (*holds)(const Value&, const Value&);
};
const Comparison comparisons[] = {
    {{"==", "eq", "equalto"}, [](const Value& a, const Value& b) { return equal(a, b); }},
    {{"!=", "ne", "ne"}, [](const Value& a, const Value& b) { return !equal(a, b); }},
    {{"<", "lt", "lessthan"}, [](const Value& a, const Value& b) { return less(a, b); }},
    {{">", "gt", "greaterthan"}, [](const Value& a, const Value& b) { return less(b, a); }},
    {{"<=", "le", "le"}, [](const Value& a, const Value& b) { return !less(b, a); }},
    {{">=", "ge", "ge"}, [](const Value& a, const Value& b) { return !less(a, b); }},
};

const Comparison* find_comparison(std::string_view name) {
  for (const Comparison& c : comparisons) {
    for (const std::string_view n : c.names) {
      if (n == name) return &c;
    }
  }
  return nullptr;
}

}  // namespace

bool has_test(std::string_view name) {
  for (const Entry& e : tests) {
    if (e.name == name) return true;
  }
  return find_comparison(name) != nullptr;
}

bool apply_test(Interpreter& in, const std::string& name, const Value& v, const Arguments& a) {
  for (const Entry& e : tests) {
    if (e.name == name) return e.test(in, v, a);
  }
  const Comparison* c = find_comparison(name);
  if (!c) fail(fmt::format("the test '{}' is unknown", name.substr(0, 40)));
  const Value& other = argument(a, name);
  in.budget().take_steps(1 + std::min(weight_of(v), weight_of(other)) / 16);
  return c->holds(v, other);
}

}  // namespace carat::jinja
