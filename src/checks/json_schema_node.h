// A schema made ready: what json_schema_compile.cc writes and json_schema.cc reads.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checks/json_schema.h"
#include "text/regex.h"

namespace carat {

enum JsonType : unsigned {
  kNull = 1,
  kBoolean = 2,
  kObject = 4,
  kArray = 8,
  kString = 16,
  kNumber = 32,
  kInteger = 64
};

/// One schema. Other schemas are indices into Compiled::nodes, values point into Compiled::source.
struct SchemaNode {
  using Index = size_t;
  using Bound = std::optional<uint64_t>;

  bool never = false;  ///< the schema `false`
  unsigned types = 0;  ///< JsonTypes, 0 for all
  const json::value* constant = nullptr;
  const json::array* enumeration = nullptr;

  const json::value *minimum = nullptr, *maximum = nullptr, *above = nullptr, *below = nullptr,
                    *multiple_of = nullptr;
  Bound min_length, max_length, min_items, max_items, min_properties, max_properties;
  std::optional<Regex> pattern;
  std::string format;  ///< empty unless it is to be asserted
  bool unique_items = false;

  std::vector<Index> prefix_items;
  std::optional<Index> items;  ///< for what follows prefix_items
  std::optional<Index> contains, unevaluated_items;
  Bound min_contains, max_contains;

  std::vector<std::string> required;
  std::vector<std::pair<std::string, Index>> properties, dependent_schemas;
  std::vector<std::pair<Regex, Index>> pattern_properties;
  std::optional<Index> additional_properties, property_names, unevaluated_properties;
  std::vector<std::pair<std::string, std::vector<std::string>>> dependent_required;

  std::vector<Index> all_of, any_of, one_of, references;
  std::optional<Index> negated, condition, then, otherwise;
};

struct JsonSchema::Compiled {
  json::value source;
  std::vector<SchemaNode> nodes;  ///< the root first
  bool tracks_evaluated = false;  ///< whether unevaluated... occurs anywhere
};

}  // namespace carat
