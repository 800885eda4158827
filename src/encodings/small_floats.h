// Scales that are stored in eight bits, a whole float each: powers of two (E8M0), and unsigned floats of four
// and three bits (UE4M3). And the levels of E2M1, the four-bit float of MXFP4 and NVFP4.
#pragma once

#include <bit>
#include <cstdint>

#include "encodings/planes.h"

namespace carat {

/// Twice the magnitudes of E2M1 (OCP Microscaling Formats v1.0, 5.3.3), so that levels are integers, in
/// ascending order: codes in planes are ranks. E2M1 has a zero of either sign, and so have the ranks.
inline constexpr int8_t kE2m1Levels[16] = {-12, -8, -6, -4, -3, -2, -1, 0, 0, 1, 2, 3, 4, 6, 8, 12};

/// The rank of what is stored (sign, then magnitude), and the inverse.
CARAT_ENCODING_INLINE constexpr uint8_t e2m1_rank(int stored) {
  return static_cast<uint8_t>(stored < 8 ? 8 + stored : 15 - stored);
}
CARAT_ENCODING_INLINE constexpr uint8_t e2m1_stored(int rank) {
  return static_cast<uint8_t>(rank >= 8 ? rank - 8 : 15 - rank);
}

/// 2^(e - 128): half of what E8M0 says, since levels are doubled. 255, which E8M0 keeps for NaN, is a power
/// of two like the others, as it is to ggml.
struct E8M0Half {
  CARAT_ENCODING_INLINE float to_float(uint8_t e) {
    return std::bit_cast<float>(e > 1 ? static_cast<uint32_t>(e - 1) << 23 : 0x00200000u << e);
  }
  /// Of a scale that is stored exactly.
  CARAT_ENCODING_INLINE uint8_t from_float(float scale) {
    const uint32_t bits = std::bit_cast<uint32_t>(scale) & 0x7fffffffu;
    return static_cast<uint8_t>(bits >= 0x00800000u ? (bits >> 23) + 1 : bits >= 0x00400000u ? 1 : 0);
  }
};

/// Half of (1 + m / 8) 2^(e - 7), or of m / 512 where e is 0; 0x7f is zero, as it is to ggml, and the upper
/// bit counts for nothing.
struct UE4M3Half {
  CARAT_ENCODING_INLINE float to_float(uint8_t stored) {
    if (stored == 0x7f) return 0.0f;
    const uint32_t exponent = stored >> 3 & 15u, mantissa = stored & 7u;
    if (exponent == 0) return static_cast<float>(mantissa) * 0x1p-10f;
    return std::bit_cast<float>((exponent + 127 - 8) << 23 | mantissa << 20);
  }
  /// Of a scale that is stored exactly.
  CARAT_ENCODING_INLINE uint8_t from_float(float scale) {
    if (scale < 0x1p-7f) return static_cast<uint8_t>(scale * 0x1p10f);
    return static_cast<uint8_t>((std::bit_cast<uint32_t>(scale) >> 20) - ((127 - 8) << 3));
  }
};

}  // namespace carat
