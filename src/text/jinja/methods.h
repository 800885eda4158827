// What tables of built-in functions and methods share.
#pragma once

#include "text/jinja/interpreter.h"

namespace carat::jinja {

using Call = Value (*)(Interpreter&, const Function&, const Arguments&);
struct Method {
  std::string_view name;
  Call call;
};

inline Value bind(const std::string& name, const Value& v, Call call) {
  auto f = std::make_shared<Function>();
  f->name = name;
  f->self = v;
  f->call = call;
  return std::shared_ptr<const Function>(std::move(f));
}

/// The function of that name bound to v, or undefined.
template <size_t N>
Value find_method(const Method (&methods)[N], const std::string& name, const Value& v) {
  for (const Method& m : methods) {
    if (m.name == name) return bind(name, v, m.call);
  }
  return {};
}

}  // namespace carat::jinja
