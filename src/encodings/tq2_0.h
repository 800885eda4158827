// TQ2_0: 256 columns under one f16 scale, 2-bit codes around 1; made for weights that are -d, 0 or d.
//   0   u8 qs[64]   bits 2h of byte 32i + j: column 128i + 32h + j   (i < 2, h < 4, j < 32)
//   64  f16 d
// Value: d * (q - 1). The fourth code is worth 2 d: ternary weights do not need it, others are better off
// with it. In planes, leaves of 32 columns all have the scale 1.
#pragma once

#include <string_view>

#include "encodings/planes.h"

namespace carat {

struct TQ2_0 : BlockFacts<256, 32, true, Offset::none> {
  static constexpr std::string_view kName = "TQ2_0";
  static constexpr uint32_t kGgmlType = 35;
  static constexpr int kCodes = 4;
  static constexpr int kScaleLow = 1, kScaleHigh = 1;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return code - 1; }

  struct [[gnu::packed]] Block {
    uint8_t qs[64];
    uint16_t d;
  };
  static_assert(sizeof(Block) == 66);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    p.d = b.d;
    p.scale.fill(1);
    for (int i = 0; i < 2; ++i)
      for (int h = 0; h < 4; ++h) take_bits(b.qs + 32 * i, 2 * h, 3, 0, p.code.data() + 128 * i + 32 * h, 32);
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    b.d = p.d;
    for (int i = 0; i < 2; ++i)
      for (int h = 0; h < 4; ++h) put_bits(p.code.data() + 128 * i + 32 * h, 2 * h, 3, 0, b.qs + 32 * i, 32);
  }
};

}  // namespace carat
