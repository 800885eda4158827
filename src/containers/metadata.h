// Key-value metadata of a checkpoint: GGUF's types and order, used for every container (see arch/ for how
// config.json becomes these keys).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/error.h"

namespace carat {

/// GGUF value types; the numbers are those of the file format.
enum class ValueType : uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12
};
std::string_view value_type_name(ValueType t);

/// An array of one scalar type. Strings in `strings`, everything else widened: unsigned and bool in
/// `unsigneds`, signed in `signeds`, f32/f64 in `floats` (all exact).
struct Array {
  ValueType element = ValueType::u32;
  std::vector<std::string> strings;
  std::vector<uint64_t> unsigneds;
  std::vector<int64_t> signeds;
  std::vector<double> floats;
  size_t size() const { return strings.size() + unsigneds.size() + signeds.size() + floats.size(); }
  bool operator==(const Array&) const = default;
};

struct Value {
  ValueType type = ValueType::u32;
  std::variant<uint64_t, int64_t, double, bool, std::string, Array> data;

  static Value u32(uint32_t v) { return {ValueType::u32, uint64_t{v}}; }
  static Value i32(int32_t v) { return {ValueType::i32, int64_t{v}}; }
  static Value u64(uint64_t v) { return {ValueType::u64, v}; }
  static Value f32(float v) { return {ValueType::f32, static_cast<double>(v)}; }
  static Value boolean(bool v) { return {ValueType::boolean, v}; }
  static Value string(std::string v) { return {ValueType::string, std::move(v)}; }
  static Value strings(std::vector<std::string> v);
  static Value i32s(std::vector<int32_t> v);
  static Value u64s(std::vector<uint64_t> v);
  static Value f32s(std::vector<float> v);
  bool operator==(const Value&) const = default;
};

/// Ordered, unique keys; look-up by hash. Typed accessors check the type: a key of another type is a
/// bad_data error that names key, expected and found type; any integer type serves where it fits.
class Metadata {
 public:
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const Value* find(std::string_view key) const;
  /// Adds or replaces in place.
  void set(std::string_view key, Value value);
  void erase(std::string_view key);
  /// Room for `count` keys, to be bounded by the caller.
  void reserve(size_t count);
  const std::vector<std::pair<std::string, Value>>& entries() const { return entries_; }

  Result<uint64_t> unsigned_at(std::string_view key) const;
  Result<int64_t> signed_at(std::string_view key) const;
  Result<double> number_at(std::string_view key) const;  ///< any numeric type
  Result<bool> bool_at(std::string_view key) const;
  Result<const std::string*> string_at(std::string_view key) const;
  Result<const std::vector<std::string>*> strings_at(std::string_view key) const;
  Result<std::vector<int64_t>> integers_at(std::string_view key) const;
  Result<std::vector<float>> floats_at(std::string_view key) const;

  /// As above, but the default when the key is absent (a wrong type is still an error).
  Result<uint64_t> unsigned_or(std::string_view key, uint64_t fallback) const;
  Result<double> number_or(std::string_view key, double fallback) const;
  Result<bool> bool_or(std::string_view key, bool fallback) const;
  Result<std::string> string_or(std::string_view key, std::string fallback) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  std::vector<std::pair<std::string, Value>> entries_;
  std::unordered_map<std::string, size_t, Hash, std::equal_to<>> index_;
};

}  // namespace carat
