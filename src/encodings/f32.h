// F32: IEEE 754 binary32, little-endian. Value: itself.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace carat {

struct F32 {
  static constexpr std::string_view kName = "F32";
  static constexpr uint32_t kGgmlType = 0;
  static constexpr bool kFloat = true, kGrouped = false;
  static constexpr int kAtom = 1, kLeaf = 1, kBlock = 1;
  using Block = float;

  static void decode(const uint8_t* src, float* dst, int64_t n) {
    if (n > 0) std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
  }
};

}  // namespace carat
