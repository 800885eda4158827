// BF16: the upper half of an IEEE 754 binary32, little-endian. Value: the float whose lower half is zero.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/half.h"

namespace carat {

struct BF16 {
  static constexpr std::string_view kName = "BF16";
  static constexpr uint32_t kGgmlType = 30;
  static constexpr bool kFloat = true, kGrouped = false;
  static constexpr int kAtom = 1, kLeaf = 1, kBlock = 1;
  using Block = uint16_t;

  static void decode(const uint8_t* src, float* dst, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      Block bits;
      std::memcpy(&bits, src + i * 2, 2);
      dst[i] = bf16_to_float(bits);
    }
  }
};

}  // namespace carat
