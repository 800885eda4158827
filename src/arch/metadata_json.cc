#include "arch/metadata_json.h"

#include <charconv>
#include <optional>

#include "containers/quote.h"

namespace carat {
namespace {

json::string float_text(ValueType type, double x) {
  const std::string text =
      type == ValueType::f32 ? fmt::format("{}", static_cast<float>(x)) : fmt::format("{}", x);
  return json::string(text);
}

json::value scalar_to_json(const Value& value) {
  if (const auto* u = std::get_if<uint64_t>(&value.data)) return *u;
  if (const auto* i = std::get_if<int64_t>(&value.data)) return *i;
  if (const auto* b = std::get_if<bool>(&value.data)) return *b;
  if (const auto* d = std::get_if<double>(&value.data)) return float_text(value.type, *d);
  if (const auto* s = std::get_if<std::string>(&value.data)) return json::string(*s);
  return nullptr;
}

json::array items_to_json(const Array& a) {
  json::array out;
  out.reserve(a.size());
  for (const std::string& s : a.strings) out.emplace_back(json::string(s));
  for (const uint64_t u : a.unsigneds) out.emplace_back(u);
  for (const int64_t i : a.signeds) out.emplace_back(i);
  for (const double d : a.floats) out.emplace_back(float_text(a.element, d));
  return out;
}

enum class Kind { natural, integer, floating, boolean, string };

struct Scalar {
  std::string_view name;
  ValueType type;
  Kind kind;
  int bits;
};

const Scalar* find_scalar(std::string_view name) {
  using enum ValueType;
  static constexpr Scalar scalars[] = {
      {"u8", u8, Kind::natural, 8},        {"u16", u16, Kind::natural, 16},
      {"u32", u32, Kind::natural, 32},     {"u64", u64, Kind::natural, 64},
      {"i8", i8, Kind::integer, 8},        {"i16", i16, Kind::integer, 16},
      {"i32", i32, Kind::integer, 32},     {"i64", i64, Kind::integer, 64},
      {"f32", f32, Kind::floating, 32},    {"f64", f64, Kind::floating, 64},
      {"bool", boolean, Kind::boolean, 1}, {"string", string, Kind::string, 0},
  };
  for (const Scalar& s : scalars)
    if (s.name == name) return &s;
  return nullptr;
}

/// A JSON value as the scalar it says it is; nothing if it is not one, or does not fit.
std::optional<Value> scalar_from_json(const Scalar& scalar, const json::value& v) {
  if (scalar.kind == Kind::boolean) {
    if (const bool* b = v.if_bool()) return Value::boolean(*b);
  } else if (scalar.kind == Kind::natural) {
    uint64_t n = 0;
    if (const uint64_t* u = v.if_uint64()) {
      n = *u;
    } else if (const int64_t* i = v.if_int64(); i && *i >= 0) {
      n = static_cast<uint64_t>(*i);
    } else {
      return std::nullopt;
    }
    if (scalar.bits < 64 && n >> scalar.bits != 0) return std::nullopt;
    return Value{scalar.type, n};
  } else if (scalar.kind == Kind::integer) {
    const int64_t* i = v.if_int64();
    const int64_t limit = int64_t{1} << (scalar.bits - 1 < 63 ? scalar.bits - 1 : 62);
    if (!i || (scalar.bits < 64 && (*i < -limit || *i >= limit))) return std::nullopt;
    return Value{scalar.type, *i};
  } else if (const json::string* s = v.if_string()) {
    if (scalar.kind == Kind::string) return Value::string(std::string(*s));
    const char* end = s->data() + s->size();
    double d = 0.0;
    if (scalar.type == ValueType::f32) {
      float f = 0.0f;
      const auto [at, ec] = std::from_chars(s->data(), end, f);
      if (ec != std::errc() || at != end) return std::nullopt;
      d = static_cast<double>(f);
    } else {
      const auto [at, ec] = std::from_chars(s->data(), end, d);
      if (ec != std::errc() || at != end) return std::nullopt;
    }
    return Value{scalar.type, d};
  }
  return std::nullopt;
}

std::optional<Value> array_from_json(const json::value& entry) {
  const json::string* element = json_string(json_find(entry, "element"));
  const json::array* items = json_array(json_find(entry, "value"));
  const Scalar* scalar = element ? find_scalar(*element) : nullptr;
  if (!scalar || !items) return std::nullopt;
  Array out;
  out.element = scalar->type;
  for (const json::value& item : *items) {
    const auto value = scalar_from_json(*scalar, item);
    if (!value) return std::nullopt;
    if (const auto* u = std::get_if<uint64_t>(&value->data)) out.unsigneds.push_back(*u);
    if (const auto* i = std::get_if<int64_t>(&value->data)) out.signeds.push_back(*i);
    if (const auto* d = std::get_if<double>(&value->data)) out.floats.push_back(*d);
    if (const auto* b = std::get_if<bool>(&value->data)) out.unsigneds.push_back(*b ? 1 : 0);
    if (const auto* s = std::get_if<std::string>(&value->data)) out.strings.push_back(*s);
  }
  return Value{ValueType::array, std::move(out)};
}

}  // namespace

json::object metadata_to_json(const std::vector<std::pair<std::string, Value>>& entries) {
  json::object out;
  for (const auto& [key, value] : entries) {
    json::object entry;
    entry["type"] = json::string(value_type_name(value.type));
    if (const auto* a = std::get_if<Array>(&value.data)) {
      entry["element"] = json::string(value_type_name(a->element));
      entry["value"] = items_to_json(*a);
    } else {
      entry["value"] = scalar_to_json(value);
    }
    out[key] = std::move(entry);
  }
  return out;
}

Status metadata_from_json(const json::object& object, Metadata& out) {
  for (const auto& [key, entry] : object) {
    const json::string* type = json_string(json_find(entry, "type"));
    const json::value* item = json_find(entry, "value");
    std::optional<Value> value;
    if (type && item) {
      if (*type == "array")
        value = array_from_json(entry);
      else if (const Scalar* scalar = find_scalar(*type))
        value = scalar_from_json(*scalar, *item);
    }
    if (!value || key.empty())
      return bad_data(
          "gguf_metadata entry {} is not a typed value such as {{\"type\": \"u32\", \"value\": 1}}",
          quote(key));
    out.set(key, *std::move(value));
  }
  return {};
}

}  // namespace carat
