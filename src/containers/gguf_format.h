// What the GGUF reader and writer agree on. Internal to containers/.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "containers/metadata.h"

namespace carat::gguf {

inline constexpr uint32_t magic = 0x46554747;  ///< "GGUF" read as a little-endian u32
inline constexpr uint32_t version = 3;
inline constexpr uint64_t default_alignment = 32;
inline constexpr uint64_t max_alignment = 1 << 20;
inline constexpr uint32_t max_dimensions = 4;
inline constexpr uint64_t max_key_bytes = 65535;  ///< of the specification
inline constexpr uint64_t max_name_bytes = 63;    ///< ggml keeps names in 64 bytes with the final zero

/// The specification asks for a multiple of 8, ggml for a power of two; the upper bound is ours, so that
/// rounding up can neither wrap nor blow up a file.
inline bool valid_alignment(uint64_t a) { return std::has_single_bit(a) && a >= 8 && a <= max_alignment; }

/// Bytes of one value of a scalar type; 0 for string, array and unknown types.
inline uint64_t scalar_bytes(ValueType t) {
  switch (t) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean:
      return 1;
    case ValueType::u16:
    case ValueType::i16:
      return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32:
      return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64:
      return 8;
    default:
      return 0;
  }
}

/// f32 bits to double and back without touching a NaN's payload (the processor's conversion would quiet it),
/// so that metadata survives a copy bit for bit.
inline double widen(uint32_t bits) {
  const float f = std::bit_cast<float>(bits);
  if (!std::isnan(f)) return static_cast<double>(f);
  return std::bit_cast<double>(uint64_t{bits & 0x80000000u} << 32 | 0x7ff0000000000000u |
                               uint64_t{bits & 0x7fffffu} << 29);
}
inline uint32_t narrow(double d) {
  if (!std::isnan(d)) return std::bit_cast<uint32_t>(static_cast<float>(d));
  const uint64_t bits = std::bit_cast<uint64_t>(d);
  const uint32_t payload = static_cast<uint32_t>(bits >> 29) & 0x7fffffu;
  return static_cast<uint32_t>(bits >> 32 & 0x80000000u) | 0x7f800000u | (payload != 0 ? payload : 0x400000u);
}

}  // namespace carat::gguf
