// Typed, bounded look-ups in config.json.
#pragma once

#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "containers/json.h"
#include "containers/quote.h"

namespace carat {

/// Typed look-ups in one JSON object; null counts as absent, as in Hugging Face's own reading.
class HfReader {
 public:
  static constexpr int64_t kMaxCount = int64_t{1} << 31;

  explicit HfReader(const json::object& object) : object_(object) {}

  const json::value* find(std::string_view key) const {
    const json::value* v = object_.if_contains(key);
    return v && !v->is_null() ? v : nullptr;
  }
  Result<std::optional<int64_t>> count(std::string_view key, int64_t low = 1) const {
    const json::value* v = find(key);
    if (!v) return std::optional<int64_t>();
    const auto n = whole(*v);
    if (!n || *n < low || *n > kMaxCount)
      return bad_data("{} is {}, not a whole number from {} to {}", key, short_text(*v), low, kMaxCount);
    return n;
  }
  /// The first of these keys that is there.
  Result<std::optional<int64_t>> count_of(std::initializer_list<std::string_view> keys) const {
    for (const std::string_view key : keys)
      if (find(key)) return count(key);
    return std::optional<int64_t>();
  }
  Result<std::optional<double>> number(std::string_view key, double low, double high) const {
    const json::value* v = find(key);
    if (!v) return std::optional<double>();
    std::optional<double> x;
    if (v->is_number())
      x = v->is_double()  ? v->get_double()
          : v->is_int64() ? static_cast<double>(v->get_int64())
                          : static_cast<double>(v->get_uint64());
    if (!x || !(*x >= low && *x <= high))
      return bad_data("{} is {}, not a number from {} to {}", key, short_text(*v), low, high);
    return x;
  }
  Result<double> number_or(std::string_view key, double low, double high, double fallback) const {
    CARAT_TRY(const std::optional<double> x, number(key, low, high));
    return x.value_or(fallback);
  }
  Result<std::optional<bool>> boolean(std::string_view key) const {
    const json::value* v = find(key);
    if (!v) return std::optional<bool>();
    if (!v->is_bool()) return bad_data("{} is {}, not true or false", key, short_text(*v));
    return std::optional<bool>(v->get_bool());
  }

  static std::string short_text(const json::value& v) {
    if (v.is_structured()) return v.is_array() ? "an array" : "an object";
    return quote(json::serialize(v));
  }

 private:
  /// 4096 and also 4096.0, which some tools write.
  static std::optional<int64_t> whole(const json::value& v) {
    if (const int64_t* i = v.if_int64()) return *i;
    if (const double* d = v.if_double(); d && std::abs(*d) <= 1e15 && *d == std::floor(*d))
      return static_cast<int64_t>(*d);
    return std::nullopt;
  }
  const json::object& object_;
};

/// The shortest decimal that gives this float again: 1e-05, not 9.999999747378752e-06.
inline double short_decimal(double x) {
  return std::strtod(fmt::format("{}", static_cast<float>(x)).c_str(), nullptr);
}

}  // namespace carat
