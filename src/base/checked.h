// Arithmetic on numbers that come from files: every product and sum that sizes something goes through these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace carat {

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_mul_overflow(a, b, &r)) return std::nullopt;
  return r;
}
inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_add_overflow(a, b, &r)) return std::nullopt;
  return r;
}
/// The smallest multiple of `to` that is >= n; to > 0.
inline std::optional<uint64_t> checked_round_up(uint64_t n, uint64_t to) {
  auto sum = checked_add(n, to - 1);
  if (!sum) return std::nullopt;
  return *sum / to * to;
}
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace carat
