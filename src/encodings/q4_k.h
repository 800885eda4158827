// Q4_K: 256 columns in 8 leaves of 32; a 6-bit scale and a 6-bit minimum per leaf under two f16; 4-bit codes.
//   0   f16 d
//   2   f16 dmin
//   4   u8 scales[12]   6-bit scales s and minimums t, see six_bit_pairs.h
//   16  u8 qs[128]      nibble h of byte 32g + j: column 64g + 32h + j   (g < 4, h < 2, j < 32)
// Value: (d * s) * q - (dmin * t), each operation rounded to float32.
#pragma once

#include <string_view>

#include "encodings/planes.h"
#include "encodings/six_bit_pairs.h"

namespace carat {

struct Q4_K : BlockFacts<256, 32, true, Offset::subtracted> {
  static constexpr std::string_view kName = "Q4_K";
  static constexpr uint32_t kGgmlType = 12;
  static constexpr int kCodes = 16;
  static constexpr int kScaleLow = 0, kScaleHigh = 63, kMinHigh = 63;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return code; }

  struct [[gnu::packed]] Block {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qs[128];
  };
  static_assert(sizeof(Block) == 144);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    p.d = b.d;
    p.m = b.dmin;
    unpack_six_bit_pairs(b.scales, p.scale, p.min);
    for (int g = 0; g < 4; ++g)
      for (int h = 0; h < 2; ++h) take_bits(b.qs + 32 * g, 4 * h, 15, 0, p.code.data() + 64 * g + 32 * h, 32);
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    b.d = p.d;
    b.dmin = p.m;
    pack_six_bit_pairs(p.scale, p.min, b.scales);
    for (int g = 0; g < 4; ++g)
      for (int h = 0; h < 2; ++h) put_bits(p.code.data() + 64 * g + 32 * h, 4 * h, 15, 0, b.qs + 32 * g, 32);
  }
};

}  // namespace carat
