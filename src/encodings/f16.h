// F16: IEEE 754 binary16, little-endian: sign, 5 bits of exponent, 10 of mantissa. Value: exact in float32,
// subnormals (steps of 2^-24) and infinities included; a NaN stays a NaN.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/half.h"

namespace carat {

struct F16 {
  static constexpr std::string_view kName = "F16";
  static constexpr uint32_t kGgmlType = 1;
  static constexpr bool kFloat = true, kGrouped = false;
  static constexpr int kAtom = 1, kLeaf = 1, kBlock = 1;
  using Block = uint16_t;

  static void decode(const uint8_t* src, float* dst, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      Block bits;
      std::memcpy(&bits, src + i * 2, 2);
      dst[i] = f16_to_float(bits);
    }
  }
};

}  // namespace carat
