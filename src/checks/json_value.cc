#include "checks/json_value.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace carat {

namespace {

__extension__ typedef __int128 Wide;

int sign(bool less, bool greater) { return less ? -1 : greater ? 1 : 0; }

/// The whole value of a number that has one within 128 bits.
bool as_wide(const json::value& v, Wide& out) {
  if (v.is_int64()) {
    out = v.get_int64();
  } else if (v.is_uint64()) {
    out = v.get_uint64();
  } else {
    const double d = v.get_double();
    if (!(std::fabs(d) < 1e37) || d != std::floor(d)) return false;
    out = static_cast<Wide>(d);
  }
  return true;
}

double as_double(const json::value& v) { return v.to_number<double>(); }

/// digits * 10^exponent
struct Decimal {
  Wide digits;
  int64_t exponent;
};

Decimal decimal_of(const json::value& v) {
  Wide whole;
  if (!v.is_double() && as_wide(v, whole)) return {whole < 0 ? -whole : whole, 0};
  char text[64];
  std::snprintf(text, sizeof text, "%.14e", std::fabs(as_double(v)));  // d.dddddddddddddde[+-]xx
  Decimal out{0, std::strtol(text + 17, nullptr, 10) - 14};
  for (int i = 0; i < 16; ++i) {
    if (i != 1) out.digits = out.digits * 10 + (text[i] - '0');
  }
  for (; out.digits != 0 && out.digits % 10 == 0; ++out.exponent) out.digits /= 10;
  return out;
}

Wide power_modulo(Wide base, int64_t exponent, Wide modulus) {  // modulus < 2^64
  Wide result = 1 % modulus;
  for (base %= modulus; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result = result * base % modulus;
    base = base * base % modulus;
  }
  return result;
}

}  // namespace

int compare_numbers(const json::value& a, const json::value& b) {
  Wide x, y;
  if (as_wide(a, x) && as_wide(b, y)) return sign(x<y, x> y);
  if (!a.is_double() || !b.is_double()) {
    // An integer against a fraction or something huge: compare with the whole number below it.
    const bool a_is_integer = !a.is_double();
    const double d = a_is_integer ? b.get_double() : a.get_double();
    Wide integer = 0;
    as_wide(a_is_integer ? a : b, integer);
    if (std::fabs(d) < 1e37) {
      const Wide below = static_cast<Wide>(std::floor(d));
      const int order = integer <= below ? -1 : 1;  // d is no whole number here
      return a_is_integer ? order : -order;
    }
  }
  const double p = as_double(a), q = as_double(b);
  return sign(p<q, p> q);
}

bool is_integer(const json::value& v) {
  return !v.is_double() || v.get_double() == std::floor(v.get_double());
}

bool is_multiple(const json::value& a, const json::value& b) {
  const Decimal x = decimal_of(a), y = decimal_of(b);
  if (x.digits == 0) return true;
  if (y.digits == 0) return false;
  const int64_t shift = x.exponent - y.exponent;
  if (shift >= 0) return x.digits % y.digits * power_modulo(10, shift, y.digits) % y.digits == 0;
  if (shift < -18) return false;
  Wide scaled = y.digits;
  for (int64_t i = shift; i < 0; ++i) scaled *= 10;
  return x.digits % scaled == 0;
}

bool same_json(const json::value& a, const json::value& b) {
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  if (a.is_array()) {
    const auto &x = a.get_array(), &y = b.get_array();
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), same_json);
  }
  if (a.is_object()) {
    const auto &x = a.get_object(), &y = b.get_object();
    return x.size() == y.size() && std::all_of(x.begin(), x.end(), [&](const auto& member) {
             const json::value* other = y.if_contains(member.key());
             return other != nullptr && same_json(member.value(), *other);
           });
  }
  return a == b;
}

std::string canonical_json(const json::value& v) {
  if (v.is_number()) {
    Wide whole;
    if (!as_wide(v, whole)) return fmt::format("{}", as_double(v));
    std::string digits;
    for (Wide rest = whole < 0 ? -whole : whole; rest != 0 || digits.empty(); rest /= 10) {
      digits.push_back(static_cast<char>('0' + static_cast<int>(rest % 10)));
    }
    if (whole < 0) digits.push_back('-');
    std::reverse(digits.begin(), digits.end());
    return digits;
  }
  std::vector<std::string> parts;
  if (const auto* array = v.if_array()) {
    for (const auto& item : *array) parts.push_back(canonical_json(item));
    return fmt::format("[{}]", fmt::join(parts, ","));
  }
  if (const auto* object = v.if_object()) {
    for (const auto& [key, item] : *object) {
      parts.push_back(json::serialize(json::string(key)) + ":" + canonical_json(item));
    }
    std::sort(parts.begin(), parts.end());
    return fmt::format("{{{}}}", fmt::join(parts, ","));
  }
  return json::serialize(v);
}

}  // namespace carat
