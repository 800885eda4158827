#include <algorithm>
#include <map>

#include "checks/json_formats.h"
#include "checks/json_schema_node.h"
#include "text/utf8.h"

namespace carat {

namespace {

constexpr size_t kMostNodes = 200'000, kMostDepth = 200;

/// The draft of a $schema; nothing for meta-schemas of others.
std::optional<int> draft_of(std::string_view uri) {
  if (uri.ends_with("#")) uri.remove_suffix(1);
  if (uri.starts_with("https://")) uri.remove_prefix(8);
  if (uri.starts_with("http://")) uri.remove_prefix(7);
  if (uri == "json-schema.org/draft/2020-12/schema") return 2020;
  if (uri == "json-schema.org/draft/2019-09/schema") return 2019;
  if (uri == "json-schema.org/draft-07/schema") return 7;
  if (uri == "json-schema.org/draft-06/schema") return 6;
  if (uri == "json-schema.org/draft-04/schema") return 4;
  return std::nullopt;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0) return std::nullopt;
    out.push_back(static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2])));
    i += 2;
  }
  return out;
}

}  // namespace

class SchemaCompiler {
 public:
  static Result<JsonSchema> run(const json::value& schema, JsonSchema::Formats formats) {
    auto compiled = std::make_shared<JsonSchema::Compiled>();
    compiled->source = schema;
    SchemaCompiler compiler(*compiled, formats);
    CARAT_DO(compiler.read_draft());
    CARAT_DO(compiler.find_anchors(compiled->source, "", 0));
    CARAT_TRY(const SchemaNode::Index root, compiler.node(&compiled->source, ""));
    (void)root;
    // References are compiled after what refers to them, so that a loop of references is no recursion.
    while (!compiler.waiting_.empty()) {
      const auto [index, value, where] = compiler.waiting_.back();
      compiler.waiting_.pop_back();
      CARAT_TRY(SchemaNode made, compiler.read(*value, where));
      compiled->nodes[index] = std::move(made);
    }
    JsonSchema out;
    out.compiled_ = std::move(compiled);
    return out;
  }

 private:
  using Index = SchemaNode::Index;

  SchemaCompiler(JsonSchema::Compiled& compiled, JsonSchema::Formats formats)
      : compiled_(compiled), formats_(formats) {}

  static Error refuse(std::string_view where, std::string_view keyword, std::string_view why) {
    return bad_data("schema{}{}: '{}' {}", where.empty() ? "" : " at ", where, keyword, why);
  }

  Status read_draft() {
    const json::value* v = json_find(compiled_.source, "$schema");
    if (v == nullptr) return {};
    const json::string* uri = json_string(v);
    const std::optional<int> draft = uri ? draft_of(*uri) : std::nullopt;
    if (!draft) return refuse("", "$schema", "names a meta-schema that is not supported");
    draft_ = *draft;
    declared_ = true;
    return {};
  }

  /// Keywords that hold schemas: themselves, in an array, or as members.
  enum class Holds { nothing, schema, schema_or_array, array, members };
  static Holds holds(std::string_view k) {
    for (const std::string_view s :
         {"additionalProperties", "additionalItems", "not", "if", "then", "else", "contains", "propertyNames",
          "unevaluatedProperties", "unevaluatedItems"}) {
      if (k == s) return Holds::schema;
    }
    if (k == "items") return Holds::schema_or_array;
    if (k == "allOf" || k == "anyOf" || k == "oneOf" || k == "prefixItems") return Holds::array;
    for (const std::string_view s :
         {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}) {
      if (k == s) return Holds::members;
    }
    return Holds::nothing;
  }

  /// Anchors of the whole document; a schema with a base of its own below the root is outside the subset,
  /// because references then mean something else.
  Status find_anchors(const json::value& schema, const std::string& where, size_t depth) {
    const json::object* o = schema.if_object();
    if (o == nullptr) return {};
    if (depth > kMostDepth) return refuse(where, "schema", "is nested too deeply");
    for (const auto& [key, value] : *o) {
      const std::string below = where + "/" + std::string(key);
      const json::string* text = value.if_string();
      if (depth > 0 && text && (key == "$id" || (key == "id" && draft_ == 4))) {
        return refuse(where, key, "below the root is not supported");
      }
      if (depth > 0 && text && key == "$schema") return refuse(where, key, "below the root is not supported");
      if (text && (key == "$anchor" || key == "$dynamicAnchor")) anchors_.emplace(*text, &schema);
      switch (holds(key)) {
        case Holds::nothing:
          break;
        case Holds::schema:
          CARAT_DO(find_anchors(value, below, depth + 1));
          break;
        case Holds::schema_or_array:
        case Holds::array:
          if (value.is_object()) CARAT_DO(find_anchors(value, below, depth + 1));
          if (const auto* list = value.if_array()) {
            for (const auto& item : *list) CARAT_DO(find_anchors(item, below, depth + 1));
          }
          break;
        case Holds::members:
          if (const auto* members = value.if_object()) {
            for (const auto& member : *members) CARAT_DO(find_anchors(member.value(), below, depth + 1));
          }
      }
    }
    return {};
  }

  /// The node of a schema, made when it is first asked for.
  Result<Index> node(const json::value* value, std::string where) {
    const auto [found, is_new] = known_.emplace(value, compiled_.nodes.size());
    if (!is_new) return found->second;
    if (compiled_.nodes.size() >= kMostNodes) return refuse(where, "schema", "has too many parts");
    if (!value->is_object() && !value->is_bool())
      return refuse(where, "schema", "must be an object, true or false");
    compiled_.nodes.emplace_back();
    waiting_.push_back({found->second, value, std::move(where)});
    return found->second;
  }
  Status read_schema(const json::object& o, std::string_view key, const std::string& where,
                     std::optional<Index>& out) {
    const json::value* v = o.if_contains(key);
    if (v == nullptr) return {};
    CARAT_TRY(out, node(v, where + "/" + std::string(key)));
    return {};
  }
  Status read_list(const json::value& v, std::string_view key, const std::string& where,
                   std::vector<Index>& out) {
    const json::array* list = v.if_array();
    if (list == nullptr) return refuse(where, key, "must be an array of schemas");
    for (size_t i = 0; i < list->size(); ++i) {
      CARAT_TRY(const Index index, node(&(*list)[i], fmt::format("{}/{}/{}", where, key, i)));
      out.push_back(index);
    }
    return {};
  }

  Result<const json::value*> target(std::string_view reference, const std::string& where,
                                    std::string_view keyword) {
    std::string_view fragment = reference;
    const json::string* id = json_string(json_find(compiled_.source, draft_ == 4 ? "id" : "$id"));
    std::string_view base = id ? std::string_view(*id) : std::string_view();
    if (base.ends_with("#")) base.remove_suffix(1);
    if (!base.empty() && fragment.starts_with(base) &&
        (fragment.size() == base.size() || fragment[base.size()] == '#')) {
      fragment.remove_prefix(base.size());
    }
    if (!fragment.empty() && fragment[0] != '#') {
      return refuse(where, keyword,
                    fmt::format("to '{}' leads out of the schema, which is not supported", reference));
    }
    if (!fragment.empty()) fragment.remove_prefix(1);
    const auto decoded = percent_decoded(fragment);
    if (decoded && decoded->empty()) return &compiled_.source;
    if (decoded && (*decoded)[0] == '/') {
      if (const json::value* found = at_pointer(*decoded)) return found;
    } else if (decoded) {
      const auto found = anchors_.find(*decoded);
      if (found != anchors_.end()) return found->second;
    }
    return refuse(where, keyword, fmt::format("leads to '{}', which is not there", reference));
  }

  const json::value* at_pointer(std::string_view pointer) const {
    const json::value* at = &compiled_.source;
    while (!pointer.empty() && at != nullptr) {
      const size_t end = std::min(pointer.find('/', 1), pointer.size());
      std::string token;
      for (size_t i = 1; i < end; ++i) {
        const bool escaped =
            pointer[i] == '~' && i + 1 < end && (pointer[i + 1] == '0' || pointer[i + 1] == '1');
        token.push_back(escaped ? (pointer[i + 1] == '0' ? '~' : '/') : pointer[i]);
        i += escaped;
      }
      pointer.remove_prefix(end);
      if (const auto* object = at->if_object()) {
        at = object->if_contains(token);
      } else if (const auto* array = at->if_array()) {
        const bool digits =
            !token.empty() && token.size() < 8 && token.find_first_not_of("0123456789") == std::string::npos;
        const size_t index = digits ? std::stoul(token) : array->size();
        at = index < array->size() ? &(*array)[index] : nullptr;
      } else {
        at = nullptr;
      }
    }
    return at;
  }

  Result<SchemaNode> read(const json::value& schema, const std::string& where) {
    SchemaNode n;
    if (schema.is_bool()) {
      n.never = !schema.get_bool();
      return n;
    }
    const json::object& o = schema.get_object();
    for (const std::string_view key : {"$ref", "$dynamicRef", "$recursiveRef"}) {
      const json::value* v = o.if_contains(key);
      if (v == nullptr || (key == "$dynamicRef" && draft_ < 2020) ||
          (key == "$recursiveRef" && draft_ != 2019))
        continue;
      if (!v->is_string()) return refuse(where, key, "must be a string");
      CARAT_TRY(const json::value* to, target(v->get_string(), where, key));
      CARAT_TRY(const Index index, node(to, where + "/" + std::string(key)));
      n.references.push_back(index);
    }
    // Up to draft 7 a reference stands alone.
    if (draft_ <= 7 && !n.references.empty()) return n;
    CARAT_DO(read_any(o, where, n));
    CARAT_DO(read_numbers(o, where, n));
    CARAT_DO(read_array(o, where, n));
    CARAT_DO(read_object(o, where, n));
    CARAT_DO(read_combinations(o, where, n));
    return n;
  }

  Status read_any(const json::object& o, const std::string& where, SchemaNode& n) {
    if (const json::value* v = o.if_contains("type")) {
      json::array list = v->is_array() ? v->get_array() : json::array{*v};
      for (const json::value& item : list) {
        const unsigned type = item.is_string() ? type_named(item.get_string()) : 0;
        if (type == 0) return refuse(where, "type", "must name JSON types");
        n.types |= type;
      }
      if (list.empty()) return refuse(where, "type", "must name JSON types");
    }
    if (draft_ >= 6) n.constant = o.if_contains("const");
    if (const json::value* v = o.if_contains("enum")) {
      n.enumeration = v->if_array();
      if (n.enumeration == nullptr) return refuse(where, "enum", "must be an array");
    }
    CARAT_DO(read_count(o, "minLength", where, n.min_length));
    CARAT_DO(read_count(o, "maxLength", where, n.max_length));
    if (const json::value* v = o.if_contains("pattern")) {
      if (!v->is_string()) return refuse(where, "pattern", "must be a string");
      CARAT_TRY(n.pattern, regex(v->get_string(), where, "pattern"));
    }
    const json::value* format = o.if_contains("format");
    if (format != nullptr && formats_ == JsonSchema::Formats::asserted) {
      if (!format->is_string()) return refuse(where, "format", "must be a string");
      const FormatKind kind = format_kind(format->get_string());
      if (kind == FormatKind::unsupported) return refuse(where, "format", "is one that is not supported");
      if (kind == FormatKind::asserted) n.format = format->get_string();
    }
    return {};
  }

  static unsigned type_named(std::string_view name) {
    constexpr std::pair<std::string_view, unsigned> names[] = {
        {"null", kNull},     {"boolean", kBoolean}, {"object", kObject},  {"array", kArray},
        {"string", kString}, {"number", kNumber},   {"integer", kInteger}};
    for (const auto& [n, type] : names) {
      if (n == name) return type;
    }
    return 0;
  }

  static Result<Regex> regex(std::string_view pattern, const std::string& where, std::string_view keyword) {
    auto compiled = Regex::compile(pattern, Regex::Dialect::ecmascript);
    if (!compiled) return refuse(where, keyword, "cannot be used: " + compiled.error().message);
    return compiled;
  }

  static Status read_count(const json::object& o, std::string_view key, const std::string& where,
                           SchemaNode::Bound& out) {
    const json::value* v = o.if_contains(key);
    if (v == nullptr) return {};
    if (v->is_int64() && v->get_int64() >= 0) {
      out = static_cast<uint64_t>(v->get_int64());
    } else if (v->is_double() && v->get_double() >= 0 && v->get_double() < 1e15 &&
               v->get_double() == static_cast<double>(static_cast<uint64_t>(v->get_double()))) {
      out = static_cast<uint64_t>(v->get_double());
    } else {
      return refuse(where, key, "must be a whole number that is not negative");
    }
    return {};
  }

  Status read_numbers(const json::object& o, const std::string& where, SchemaNode& n) {
    const auto number = [&](std::string_view key, const json::value*& out) -> Status {
      const json::value* v = o.if_contains(key);
      if (v != nullptr && !v->is_number()) return refuse(where, key, "must be a number");
      out = v;
      return {};
    };
    CARAT_DO(number("minimum", n.minimum));
    CARAT_DO(number("maximum", n.maximum));
    CARAT_DO(number("multipleOf", n.multiple_of));
    // In draft 4 the exclusive ones are flags; a schema that names no draft may mean that.
    const auto exclusive = [&](std::string_view key, const json::value*& inclusive,
                               const json::value*& out) -> Status {
      const json::value* v = o.if_contains(key);
      if (v == nullptr) return {};
      if (v->is_bool() && (draft_ == 4 || !declared_)) {
        if (v->get_bool()) std::swap(inclusive, out);
        return {};
      }
      if (draft_ == 4) return refuse(where, key, "must be true or false");
      return number(key, out);
    };
    CARAT_DO(exclusive("exclusiveMinimum", n.minimum, n.above));
    CARAT_DO(exclusive("exclusiveMaximum", n.maximum, n.below));
    if (n.multiple_of && !(n.multiple_of->to_number<double>() > 0)) {
      return refuse(where, "multipleOf", "must be greater than zero");
    }
    return {};
  }

  Status read_array(const json::object& o, const std::string& where, SchemaNode& n) {
    CARAT_DO(read_count(o, "minItems", where, n.min_items));
    CARAT_DO(read_count(o, "maxItems", where, n.max_items));
    if (const json::value* v = o.if_contains("uniqueItems")) {
      if (!v->is_bool()) return refuse(where, "uniqueItems", "must be true or false");
      n.unique_items = v->get_bool();
    }
    const json::value* items = o.if_contains("items");
    const bool old_items = items && items->is_array();
    if (old_items && draft_ == 2020 && declared_) {
      return refuse(where, "items", "is an array, which draft 2020-12 calls prefixItems");
    }
    if (old_items) {
      CARAT_DO(read_list(*items, "items", where, n.prefix_items));
      CARAT_DO(read_schema(o, "additionalItems", where, n.items));
    } else {
      CARAT_DO(read_schema(o, "items", where, n.items));
      const json::value* prefix = o.if_contains("prefixItems");
      if (prefix && draft_ == 2020) CARAT_DO(read_list(*prefix, "prefixItems", where, n.prefix_items));
    }
    if (draft_ >= 6) CARAT_DO(read_schema(o, "contains", where, n.contains));
    if (draft_ >= 2019) {
      CARAT_DO(read_count(o, "minContains", where, n.min_contains));
      CARAT_DO(read_count(o, "maxContains", where, n.max_contains));
      CARAT_DO(read_schema(o, "unevaluatedItems", where, n.unevaluated_items));
      compiled_.tracks_evaluated = compiled_.tracks_evaluated || n.unevaluated_items;
    }
    return {};
  }

  Status read_names(const json::value& v, std::string_view key, const std::string& where,
                    std::vector<std::string>& out) {
    const json::array* list = v.if_array();
    if (list == nullptr) return refuse(where, key, "must be an array of names");
    for (const json::value& name : *list) {
      if (!name.is_string()) return refuse(where, key, "must be an array of names");
      out.emplace_back(name.get_string());
    }
    return {};
  }
  Result<const json::object*> members(const json::object& o, std::string_view key, const std::string& where) {
    static const json::object none;
    const json::value* v = o.if_contains(key);
    if (v == nullptr) return &none;
    if (!v->is_object()) return refuse(where, key, "must be an object");
    return &v->get_object();
  }

  Status read_object(const json::object& o, const std::string& where, SchemaNode& n) {
    CARAT_DO(read_count(o, "minProperties", where, n.min_properties));
    CARAT_DO(read_count(o, "maxProperties", where, n.max_properties));
    // Before draft 4, `required` was a flag of a property; some schemas still have it.
    if (const json::value* v = o.if_contains("required"))
      CARAT_DO(read_names(*v, "required", where, n.required));
    CARAT_TRY(const json::object* properties, members(o, "properties", where));
    for (const auto& [name, value] : *properties) {
      CARAT_TRY(const Index index, node(&value, where + "/properties/" + std::string(name)));
      n.properties.emplace_back(name, index);
    }
    CARAT_TRY(const json::object* patterns, members(o, "patternProperties", where));
    for (const auto& [pattern, value] : *patterns) {
      CARAT_TRY(Regex compiled, regex(pattern, where, "patternProperties"));
      CARAT_TRY(const Index index, node(&value, where + "/patternProperties/" + std::string(pattern)));
      n.pattern_properties.emplace_back(std::move(compiled), index);
    }
    CARAT_DO(read_schema(o, "additionalProperties", where, n.additional_properties));
    if (draft_ >= 6) CARAT_DO(read_schema(o, "propertyNames", where, n.property_names));
    if (draft_ >= 2019) {
      CARAT_DO(read_schema(o, "unevaluatedProperties", where, n.unevaluated_properties));
      compiled_.tracks_evaluated = compiled_.tracks_evaluated || n.unevaluated_properties;
      CARAT_TRY(const json::object* names, members(o, "dependentRequired", where));
      for (const auto& [name, value] : *names) {
        CARAT_DO(read_names(value, "dependentRequired", where,
                            n.dependent_required.emplace_back(name, std::vector<std::string>{}).second));
      }
      CARAT_TRY(const json::object* schemas, members(o, "dependentSchemas", where));
      for (const auto& [name, value] : *schemas) {
        CARAT_TRY(const Index index, node(&value, where + "/dependentSchemas/" + std::string(name)));
        n.dependent_schemas.emplace_back(name, index);
      }
    }
    // Both in one until draft 7; newer drafts keep it for old schemas.
    CARAT_TRY(const json::object* dependencies, members(o, "dependencies", where));
    for (const auto& [name, value] : *dependencies) {
      if (value.is_array()) {
        CARAT_DO(read_names(value, "dependencies", where,
                            n.dependent_required.emplace_back(name, std::vector<std::string>{}).second));
      } else {
        CARAT_TRY(const Index index, node(&value, where + "/dependencies/" + std::string(name)));
        n.dependent_schemas.emplace_back(name, index);
      }
    }
    return {};
  }

  Status read_combinations(const json::object& o, const std::string& where, SchemaNode& n) {
    const std::pair<std::string_view, std::vector<Index>*> lists[] = {
        {"allOf", &n.all_of}, {"anyOf", &n.any_of}, {"oneOf", &n.one_of}};
    for (const auto& [key, out] : lists) {
      const json::value* v = o.if_contains(key);
      if (v == nullptr) continue;
      CARAT_DO(read_list(*v, key, where, *out));
      if (out->empty()) return refuse(where, key, "must not be empty");
    }
    CARAT_DO(read_schema(o, "not", where, n.negated));
    if (draft_ >= 7) {
      CARAT_DO(read_schema(o, "if", where, n.condition));
      CARAT_DO(read_schema(o, "then", where, n.then));
      CARAT_DO(read_schema(o, "else", where, n.otherwise));
    }
    return {};
  }

  struct Waiting {
    Index index;
    const json::value* value;
    std::string where;
  };

  JsonSchema::Compiled& compiled_;
  JsonSchema::Formats formats_;
  int draft_ = 2020;
  bool declared_ = false;
  std::map<std::string, const json::value*, std::less<>> anchors_;
  std::map<const json::value*, Index> known_;
  std::vector<Waiting> waiting_;
};

Result<JsonSchema> JsonSchema::compile(const json::value& schema, Formats formats) {
  return SchemaCompiler::run(schema, formats);
}

}  // namespace carat
