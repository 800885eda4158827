// What the tables of filters share.
#pragma once

#include <span>

#include "text/jinja/interpreter.h"

namespace carat::jinja {

using Filter = Value (*)(Interpreter&, const Value&, const Arguments&);
struct FilterEntry {
  std::string_view name;
  Filter filter;
};
/// Of lists, dicts and what else can be iterated.
std::span<const FilterEntry> sequence_filters();

/// The truth of a parameter.
bool flag(const Arguments& a, size_t position, std::string_view name, bool otherwise);

}  // namespace carat::jinja
