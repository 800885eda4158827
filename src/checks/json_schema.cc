#include "checks/json_schema.h"

#include <algorithm>
#include <set>

#include "checks/json_formats.h"
#include "checks/json_schema_node.h"
#include "checks/json_value.h"
#include "checks/plain_text.h"
#include "text/utf8.h"

namespace carat {

namespace {

constexpr uint64_t kMostWork = 5'000'000;  // schemas applied and members looked at, in one validation
constexpr size_t kMostDepth = 500;         // of schemas within schemas and references
constexpr uint32_t kPatternSteps = 1'000'000;

/// What sub-schemas have looked at, for unevaluatedProperties and unevaluatedItems.
struct Evaluated {
  std::set<std::string_view> properties;
  std::set<size_t> items;

  void add(const Evaluated& other) {
    properties.insert(other.properties.begin(), other.properties.end());
    items.insert(other.items.begin(), other.items.end());
  }
};

unsigned type_of(const json::value& v) {
  switch (v.kind()) {
    case json::kind::null:
      return kNull;
    case json::kind::bool_:
      return kBoolean;
    case json::kind::object:
      return kObject;
    case json::kind::array:
      return kArray;
    case json::kind::string:
      return kString;
    default:
      return kNumber | (is_integer(v) ? kInteger : 0u);
  }
}

size_t characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(),
                                           [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

std::string pointer_token(std::string_view name) {
  std::string out = "/";
  for (const char c : excerpt(name, 100)) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

}  // namespace

class SchemaValidation {
 public:
  explicit SchemaValidation(const JsonSchema::Compiled& compiled) : compiled_(compiled) {}

  /// Whether `v` is valid; `evaluated` is added to only if so.
  Result<bool> valid(SchemaNode::Index index, const json::value& v, Evaluated* evaluated) {
    if (++work_ > kMostWork) return bad_data("validation would take too long");
    if (depth_ >= kMostDepth) return bad_data("the schema refers to itself without end");
    ++depth_;
    Evaluated own;
    auto result = check(compiled_.nodes[index], v, own);
    --depth_;
    if (result.ok() && *result && evaluated) evaluated->add(own);
    return result;
  }

  const std::string& why() const { return why_; }

 private:
  /// The first violation is the one that is told; sub-schemas that may fail are asked quietly.
  bool wrong(std::string_view what) {
    if (quiet_ == 0 && why_.empty()) why_ = fmt::format("at {}: {}", path_.empty() ? "/" : path_, what);
    return false;
  }
  Result<bool> quietly(SchemaNode::Index index, const json::value& v, Evaluated* evaluated) {
    ++quiet_;
    auto result = valid(index, v, evaluated);
    --quiet_;
    return result;
  }
  Result<bool> below(std::string token, SchemaNode::Index index, const json::value& v, bool quiet = false) {
    const size_t length = path_.size();
    path_ += token;
    auto result = quiet ? quietly(index, v, nullptr) : valid(index, v, nullptr);
    path_.resize(length);
    return result;
  }
  Result<bool> matches(const Regex& regex, std::string_view text) {
    Regex::Searcher searcher(regex);
    searcher.limit_steps(kPatternSteps);
    CARAT_TRY(const auto match, searcher.find(text, 0));
    return match.has_value();
  }

  Result<bool> check(const SchemaNode& n, const json::value& v, Evaluated& evaluated) {
    if (n.never) return wrong("nothing is allowed here");
    const unsigned type = type_of(v);
    if (n.types != 0 && (n.types & type) == 0) return wrong("the type is not allowed");
    if (n.constant && !same_json(*n.constant, v)) return wrong("the value is not the constant");
    if (n.enumeration) {
      work_ += n.enumeration->size();
      const bool listed = std::any_of(n.enumeration->begin(), n.enumeration->end(),
                                      [&](const json::value& e) { return same_json(e, v); });
      if (!listed) return wrong("the value is none of the enumeration");
    }
    if (type & kNumber && !number(n, v)) return false;
    if (type == kString) {
      CARAT_TRY(const bool fine, string(n, v.get_string()));
      if (!fine) return false;
    }
    Evaluated* const track = compiled_.tracks_evaluated ? &evaluated : nullptr;
    CARAT_TRY(const bool combined, combinations(n, v, track));
    if (!combined) return false;
    if (type == kArray) return array(n, v.get_array(), evaluated);
    if (type == kObject) return object(n, v, evaluated);
    return true;
  }

  bool number(const SchemaNode& n, const json::value& v) {
    if (n.minimum && compare_numbers(v, *n.minimum) < 0) return wrong("the number is below the minimum");
    if (n.maximum && compare_numbers(v, *n.maximum) > 0) return wrong("the number is above the maximum");
    if (n.above && compare_numbers(v, *n.above) <= 0) return wrong("the number is not above the minimum");
    if (n.below && compare_numbers(v, *n.below) >= 0) return wrong("the number is not below the maximum");
    if (n.multiple_of && !is_multiple(v, *n.multiple_of)) return wrong("the number is not a multiple");
    return true;
  }

  Result<bool> string(const SchemaNode& n, std::string_view text) {
    if (n.min_length || n.max_length) {
      const size_t length = characters(text);
      if (n.min_length && length < *n.min_length) return wrong("the string is too short");
      if (n.max_length && length > *n.max_length) return wrong("the string is too long");
    }
    if (n.pattern) {
      CARAT_TRY(const bool found, matches(*n.pattern, text));
      if (!found) return wrong("the string does not match the pattern");
    }
    if (!n.format.empty() && !has_format(n.format, text)) {
      return wrong(fmt::format("the string is no {}", n.format));
    }
    return true;
  }

  Result<bool> combinations(const SchemaNode& n, const json::value& v, Evaluated* track) {
    for (const auto* all : {&n.references, &n.all_of}) {
      for (const auto index : *all) {
        CARAT_TRY(const bool fine, valid(index, v, track));
        if (!fine) return false;
      }
    }
    if (!n.any_of.empty()) {
      bool any = false;
      for (const auto index : n.any_of) {
        CARAT_TRY(const bool fine, quietly(index, v, track));
        any = any || fine;
        if (any && track == nullptr) break;
      }
      if (!any) return wrong("none of 'anyOf' holds");
    }
    if (!n.one_of.empty()) {
      size_t count = 0;
      for (const auto index : n.one_of) {
        CARAT_TRY(const bool fine, quietly(index, v, track));
        count += fine;
      }
      if (count != 1) return wrong(count == 0 ? "none of 'oneOf' holds" : "more than one of 'oneOf' holds");
    }
    if (n.negated) {
      CARAT_TRY(const bool holds, quietly(*n.negated, v, nullptr));
      if (holds) return wrong("what 'not' forbids holds");
    }
    if (n.condition) {
      CARAT_TRY(const bool holds, quietly(*n.condition, v, track));
      const auto& branch = holds ? n.then : n.otherwise;
      if (branch) {
        CARAT_TRY(const bool fine, valid(*branch, v, track));
        if (!fine) return false;
      }
    }
    return true;
  }

  Result<bool> array(const SchemaNode& n, const json::array& list, Evaluated& evaluated) {
    if (n.min_items && list.size() < *n.min_items) return wrong("there are too few items");
    if (n.max_items && list.size() > *n.max_items) return wrong("there are too many items");
    if (n.unique_items) {
      std::set<std::string> seen;
      for (const json::value& item : list) {
        ++work_;
        if (!seen.insert(canonical_json(item)).second) return wrong("an item occurs twice");
      }
    }
    for (size_t i = 0; i < list.size(); ++i) {
      const bool prefix = i < n.prefix_items.size();
      if (!prefix && !n.items) break;
      CARAT_TRY(const bool fine,
                below(fmt::format("/{}", i), prefix ? n.prefix_items[i] : *n.items, list[i]));
      if (!fine) return false;
      if (compiled_.tracks_evaluated) evaluated.items.insert(i);
    }
    if (n.contains) {
      uint64_t count = 0;
      for (size_t i = 0; i < list.size(); ++i) {
        CARAT_TRY(const bool fine, below(fmt::format("/{}", i), *n.contains, list[i], true));
        count += fine;
        if (fine && compiled_.tracks_evaluated) evaluated.items.insert(i);
      }
      if (count < n.min_contains.value_or(1)) return wrong("too few items are what 'contains' asks for");
      if (n.max_contains && count > *n.max_contains)
        return wrong("too many items are what 'contains' asks for");
    }
    for (size_t i = 0; n.unevaluated_items && i < list.size(); ++i) {
      if (evaluated.items.contains(i)) continue;
      CARAT_TRY(const bool fine, below(fmt::format("/{}", i), *n.unevaluated_items, list[i]));
      if (!fine) return false;
      evaluated.items.insert(i);
    }
    return true;
  }

  Result<bool> object(const SchemaNode& n, const json::value& value, Evaluated& evaluated) {
    const json::object& o = value.get_object();
    if (n.min_properties && o.size() < *n.min_properties) return wrong("there are too few members");
    if (n.max_properties && o.size() > *n.max_properties) return wrong("there are too many members");
    const auto has_all = [&](const std::vector<std::string>& names) {
      work_ += names.size();
      for (const std::string& name : names) {
        if (!o.contains(name)) return wrong(fmt::format("'{}' is missing", excerpt(name, 100)));
      }
      return true;
    };
    if (!has_all(n.required)) return false;
    for (const auto& [name, names] : n.dependent_required) {
      if (o.contains(name) && !has_all(names)) return false;
    }
    for (const auto& [name, index] : n.dependent_schemas) {
      if (!o.contains(name)) continue;
      CARAT_TRY(const bool fine, valid(index, value, compiled_.tracks_evaluated ? &evaluated : nullptr));
      if (!fine) return false;
    }
    std::set<std::string_view> looked_at;
    for (const auto& [name, index] : n.properties) {
      ++work_;
      const auto found = o.find(name);
      if (found == o.end()) continue;
      CARAT_TRY(const bool fine, below(pointer_token(name), index, found->value()));
      if (!fine) return false;
      looked_at.insert(found->key());
    }
    for (const auto& member : o) {
      const std::string_view name = member.key();
      if (++work_ > kMostWork) return bad_data("validation would take too long");
      if (n.property_names) {
        CARAT_TRY(const bool fine, valid(*n.property_names, json::value(json::string(name)), nullptr));
        if (!fine) return wrong(fmt::format("the name '{}' is not allowed", excerpt(name, 100)));
      }
      for (const auto& [regex, index] : n.pattern_properties) {
        CARAT_TRY(const bool named, matches(regex, name));
        if (!named) continue;
        CARAT_TRY(const bool fine, below(pointer_token(name), index, member.value()));
        if (!fine) return false;
        looked_at.insert(name);
      }
      if (n.additional_properties && !looked_at.contains(name)) {
        CARAT_TRY(const bool fine, below(pointer_token(name), *n.additional_properties, member.value()));
        if (!fine) return false;
        looked_at.insert(name);
      }
    }
    if (!compiled_.tracks_evaluated) return true;
    evaluated.properties.insert(looked_at.begin(), looked_at.end());
    for (const auto& member : o) {
      if (!n.unevaluated_properties || evaluated.properties.contains(member.key())) continue;
      CARAT_TRY(const bool fine,
                below(pointer_token(member.key()), *n.unevaluated_properties, member.value()));
      if (!fine) return false;
      evaluated.properties.insert(member.key());
    }
    return true;
  }

  const JsonSchema::Compiled& compiled_;
  uint64_t work_ = 0;
  size_t depth_ = 0, quiet_ = 0;
  std::string path_, why_;
};

Result<std::string> JsonSchema::violation(const json::value& instance) const {
  SchemaValidation validation(*compiled_);
  CARAT_TRY(const bool valid, validation.valid(0, instance, nullptr));
  if (valid) return std::string();
  return validation.why().empty() ? std::string("the value is not valid") : validation.why();
}

}  // namespace carat
