// FP8: E4M3 floats (OCP 8-bit floating point, the "fn" form: no infinities) under float32 scales.
//   f32 scale[groups]
//   u8 code[columns]    sign, 4 bits of exponent with bias 7, 3 of mantissa; 0x7f and 0xff are NaN
// Value: scale * e4m3(code), one float32 product.
// FP8_BLOCK128 has one scale for 128 rows x 128 columns, which each of the rows stores: 0.25 bits per weight.
#pragma once

#include <bit>

#include "encodings/grouped.h"

namespace carat {

struct FP8 : GroupedFacts {
  static constexpr std::string_view kName = "FP8";
  static constexpr uint32_t kNumber = 16;
  static constexpr Grouping kGrouping = Grouping::tiles;
  static constexpr int kCodes = 256;
  static constexpr float kLargest = 448;
  static constexpr bool kZeroPoint = false;
  static constexpr uint32_t kGroupBytes = 4, kSpanBytes = 0;

  /// Exact, and free of subnormal float32, which some products count as zero.
  CARAT_ENCODING_INLINE float e4m3(int code) {
    const auto bits = static_cast<uint32_t>(code);
    if ((bits & 0x7f) == 0x7f) return std::bit_cast<float>((bits & 0x80) << 24 | 0x7fc00000u);
    const uint32_t sign = (bits & 0x80) << 24, size = bits & 0x7f;
    const float value = size < 8 ? static_cast<float>(static_cast<int32_t>(size)) * 0x1p-9f
                                 : std::bit_cast<float>((size << 20) + (120u << 23));
    return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
  }
  CARAT_ENCODING_INLINE float value(int code, float scale, float) { return scale * e4m3(code); }

  struct Block {
    uint8_t bytes[32];
  };
  CARAT_ENCODING_INLINE void unpack(const Block& b, uint8_t* code) { std::memcpy(code, b.bytes, 32); }
  CARAT_ENCODING_INLINE void pack(const uint8_t* code, Block& b) { std::memcpy(b.bytes, code, 32); }

  CARAT_ENCODING_INLINE void read_parameters(const uint8_t* row, int64_t, int64_t first, int64_t n,
                                             float* scale, float* zero) {
    std::memcpy(scale, row + 4 * first, static_cast<size_t>(n) * 4);
    for (int64_t i = 0; i < n; ++i) zero[i] = 0;
  }
  CARAT_ENCODING_INLINE void write_parameters(const float* scale, const float*, int64_t groups,
                                              uint8_t* row) {
    std::memcpy(row, scale, static_cast<size_t>(groups) * 4);
  }
};

}  // namespace carat
