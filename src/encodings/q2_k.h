// Q2_K: 256 columns in 16 leaves of 16; a 4-bit scale and a 4-bit minimum per leaf under two f16; 2-bit
// codes.
//   0   u8 scales[16]   low nibble: scale s of leaf i; high nibble: its minimum t
//   16  u8 qs[64]       bits 2k, 2k+1 of byte 32g + j: column 128g + 32k + j   (g < 2, k < 4, j < 32)
//   80  f16 d
//   82  f16 dmin
// Value: (d * s) * q - (dmin * t), each operation rounded to float32.
#pragma once

#include <string_view>

#include "encodings/planes.h"

namespace carat {

struct Q2_K : BlockFacts<256, 16, true, Offset::subtracted> {
  static constexpr std::string_view kName = "Q2_K";
  static constexpr uint32_t kGgmlType = 10;
  static constexpr int kCodes = 4;
  static constexpr int kScaleLow = 0, kScaleHigh = 15, kMinHigh = 15;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return code; }

  struct [[gnu::packed]] Block {
    uint8_t scales[16];
    uint8_t qs[64];
    uint16_t d, dmin;
  };
  static_assert(sizeof(Block) == 84);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    p.d = b.d;
    p.m = b.dmin;
    for (size_t i = 0; i < 16; ++i) {
      p.scale[i] = static_cast<int8_t>(b.scales[i] & 15);
      p.min[i] = static_cast<uint8_t>(b.scales[i] >> 4);
    }
    for (int g = 0; g < 2; ++g)
      for (int k = 0; k < 4; ++k) take_bits(b.qs + 32 * g, 2 * k, 3, 0, p.code.data() + 128 * g + 32 * k, 32);
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    b.d = p.d;
    b.dmin = p.m;
    for (size_t i = 0; i < 16; ++i) b.scales[i] = static_cast<uint8_t>(p.scale[i] | p.min[i] << 4);
    for (int g = 0; g < 2; ++g)
      for (int k = 0; k < 4; ++k) put_bits(p.code.data() + 128 * g + 32 * k, 2 * k, 3, 0, b.qs + 32 * g, 32);
  }
};

}  // namespace carat
