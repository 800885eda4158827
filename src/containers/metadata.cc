#include "containers/metadata.h"

#include <limits>

#include "containers/quote.h"

namespace carat {

std::string_view value_type_name(ValueType t) {
  switch (t) {
    case ValueType::u8:
      return "u8";
    case ValueType::i8:
      return "i8";
    case ValueType::u16:
      return "u16";
    case ValueType::i16:
      return "i16";
    case ValueType::u32:
      return "u32";
    case ValueType::i32:
      return "i32";
    case ValueType::f32:
      return "f32";
    case ValueType::boolean:
      return "bool";
    case ValueType::string:
      return "string";
    case ValueType::array:
      return "array";
    case ValueType::u64:
      return "u64";
    case ValueType::i64:
      return "i64";
    case ValueType::f64:
      return "f64";
  }
  return "unknown";
}

Value Value::strings(std::vector<std::string> v) {
  Array a;
  a.element = ValueType::string;
  a.strings = std::move(v);
  return {ValueType::array, std::move(a)};
}

Value Value::i32s(std::vector<int32_t> v) {
  Array a;
  a.element = ValueType::i32;
  a.signeds.assign(v.begin(), v.end());
  return {ValueType::array, std::move(a)};
}

Value Value::u64s(std::vector<uint64_t> v) {
  Array a;
  a.element = ValueType::u64;
  a.unsigneds = std::move(v);
  return {ValueType::array, std::move(a)};
}

Value Value::f32s(std::vector<float> v) {
  Array a;
  a.element = ValueType::f32;
  a.floats.assign(v.begin(), v.end());
  return {ValueType::array, std::move(a)};
}

namespace {

std::string describe(const Value& v) {
  if (const auto* a = std::get_if<Array>(&v.data)) {
    return fmt::format("an array of {}", value_type_name(a->element));
  }
  return fmt::format("{}", value_type_name(v.type));
}

Error missing(std::string_view key) { return bad_data("metadata key {} is missing", quote(key)); }

Error wrong_type(std::string_view key, std::string_view expected, const Value& found) {
  return bad_data("metadata key {} must be {} but is {}", quote(key), expected, describe(found));
}

Result<uint64_t> as_unsigned(std::string_view key, const Value& v) {
  if (const auto* u = std::get_if<uint64_t>(&v.data)) return *u;
  if (const auto* i = std::get_if<int64_t>(&v.data)) {
    if (*i < 0) return bad_data("metadata key {} must not be negative but is {}", quote(key), *i);
    return static_cast<uint64_t>(*i);
  }
  return wrong_type(key, "an integer", v);
}

Result<double> as_number(std::string_view key, const Value& v) {
  if (const auto* d = std::get_if<double>(&v.data)) return *d;
  if (const auto* u = std::get_if<uint64_t>(&v.data)) return static_cast<double>(*u);
  if (const auto* i = std::get_if<int64_t>(&v.data)) return static_cast<double>(*i);
  return wrong_type(key, "a number", v);
}

Result<bool> as_bool(std::string_view key, const Value& v) {
  if (const auto* b = std::get_if<bool>(&v.data)) return *b;
  return wrong_type(key, "a bool", v);
}

}  // namespace

const Value* Metadata::find(std::string_view key) const {
  const auto it = index_.find(key);
  return it == index_.end() ? nullptr : &entries_[it->second].second;
}

void Metadata::reserve(size_t count) {
  entries_.reserve(count);
  index_.reserve(count);
}

void Metadata::set(std::string_view key, Value value) {
  if (const auto it = index_.find(key); it != index_.end()) {
    entries_[it->second].second = std::move(value);
    return;
  }
  index_.emplace(std::string(key), entries_.size());
  entries_.emplace_back(std::string(key), std::move(value));
}

void Metadata::erase(std::string_view key) {
  const auto it = index_.find(key);
  if (it == index_.end()) return;
  const size_t at = it->second;
  index_.erase(it);
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(at));
  for (auto& [name, position] : index_) {
    if (position > at) --position;
  }
}

Result<uint64_t> Metadata::unsigned_at(std::string_view key) const {
  const Value* v = find(key);
  if (v == nullptr) return missing(key);
  return as_unsigned(key, *v);
}

Result<int64_t> Metadata::signed_at(std::string_view key) const {
  const Value* v = find(key);
  if (v == nullptr) return missing(key);
  if (const auto* i = std::get_if<int64_t>(&v->data)) return *i;
  if (const auto* u = std::get_if<uint64_t>(&v->data)) {
    if (*u > std::numeric_limits<int64_t>::max()) {
      return bad_data("metadata key {} is {}, which is too large", quote(key), *u);
    }
    return static_cast<int64_t>(*u);
  }
  return wrong_type(key, "an integer", *v);
}

Result<double> Metadata::number_at(std::string_view key) const {
  const Value* v = find(key);
  if (v == nullptr) return missing(key);
  return as_number(key, *v);
}

Result<bool> Metadata::bool_at(std::string_view key) const {
  const Value* v = find(key);
  if (v == nullptr) return missing(key);
  return as_bool(key, *v);
}

Result<const std::string*> Metadata::string_at(std::string_view key) const {
  const Value* v = find(key);
  if (v == nullptr) return missing(key);
  if (const auto* s = std::get_if<std::string>(&v->data)) return s;
  return wrong_type(key, "a string", *v);
}

Result<const std::vector<std::string>*> Metadata::strings_at(std::string_view key) const {
  const Value* v = find(key);
  if (v == nullptr) return missing(key);
  const auto* a = std::get_if<Array>(&v->data);
  if (a == nullptr || a->element != ValueType::string) return wrong_type(key, "an array of string", *v);
  return &a->strings;
}

Result<std::vector<int64_t>> Metadata::integers_at(std::string_view key) const {
  const Value* v = find(key);
  if (v == nullptr) return missing(key);
  const auto* a = std::get_if<Array>(&v->data);
  if (a == nullptr) return wrong_type(key, "an array of integers", *v);
  switch (a->element) {
    case ValueType::i8:
    case ValueType::i16:
    case ValueType::i32:
    case ValueType::i64:
      return a->signeds;
    case ValueType::u8:
    case ValueType::u16:
    case ValueType::u32:
    case ValueType::u64: {
      std::vector<int64_t> out;
      out.reserve(a->unsigneds.size());
      for (const uint64_t u : a->unsigneds) {
        if (u > std::numeric_limits<int64_t>::max()) {
          return bad_data("metadata key {} holds {}, which is too large", quote(key), u);
        }
        out.push_back(static_cast<int64_t>(u));
      }
      return out;
    }
    default:
      return wrong_type(key, "an array of integers", *v);
  }
}

Result<std::vector<float>> Metadata::floats_at(std::string_view key) const {
  const Value* v = find(key);
  if (v == nullptr) return missing(key);
  const auto* a = std::get_if<Array>(&v->data);
  if (a == nullptr || (a->element != ValueType::f32 && a->element != ValueType::f64)) {
    return wrong_type(key, "an array of floats", *v);
  }
  std::vector<float> out;
  out.reserve(a->floats.size());
  for (const double d : a->floats) out.push_back(static_cast<float>(d));
  return out;
}

Result<uint64_t> Metadata::unsigned_or(std::string_view key, uint64_t fallback) const {
  const Value* v = find(key);
  return v == nullptr ? Result<uint64_t>(fallback) : as_unsigned(key, *v);
}

Result<double> Metadata::number_or(std::string_view key, double fallback) const {
  const Value* v = find(key);
  return v == nullptr ? Result<double>(fallback) : as_number(key, *v);
}

Result<bool> Metadata::bool_or(std::string_view key, bool fallback) const {
  const Value* v = find(key);
  return v == nullptr ? Result<bool>(fallback) : as_bool(key, *v);
}

Result<std::string> Metadata::string_or(std::string_view key, std::string fallback) const {
  if (!has(key)) return fallback;
  CARAT_TRY(const std::string* s, string_at(key));
  return *s;
}

}  // namespace carat
