// Q3_K: 256 columns in 16 leaves of 16; a signed 6-bit scale per leaf under one f16; 3-bit codes around 4.
//   0    u8 hmask[32]    third bits: bit i of byte j: column 32i + j
//   32   u8 qs[64]       bits 2k, 2k+1 of byte 32g + j: column 128g + 32k + j   (g < 2, k < 4, j < 32)
//   96   u8 scales[12]   s + 32 of leaf i: low 4 bits in nibble i / 8 of byte i % 8,
//                        high 2 bits at bit 2 (i / 4) of byte 8 + i % 4
//   108  f16 d
// Value: (d * s) * (q - 4), each operation rounded to float32.
#pragma once

#include <string_view>

#include "encodings/planes.h"

namespace carat {

struct Q3_K : BlockFacts<256, 16, true, Offset::none> {
  static constexpr std::string_view kName = "Q3_K";
  static constexpr uint32_t kGgmlType = 11;
  static constexpr int kCodes = 8;
  static constexpr int kScaleLow = -32, kScaleHigh = 31;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return code - 4; }

  struct [[gnu::packed]] Block {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12];
    uint16_t d;
  };
  static_assert(sizeof(Block) == 110);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    p.d = b.d;
    for (int i = 0; i < 16; ++i) {
      const int low = b.scales[i % 8] >> (4 * (i / 8)) & 15;
      const int high = b.scales[8 + i % 4] >> (2 * (i / 4)) & 3;
      p.scale[static_cast<size_t>(i)] = static_cast<int8_t>((low | high << 4) - 32);
    }
    for (int g = 0; g < 2; ++g)
      for (int k = 0; k < 4; ++k) take_bits(b.qs + 32 * g, 2 * k, 3, 0, p.code.data() + 128 * g + 32 * k, 32);
    for (int i = 0; i < 8; ++i) take_bits(b.hmask, i, 1, 2, p.code.data() + 32 * i, 32);
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    b.d = p.d;
    for (int i = 0; i < 16; ++i) {
      const int s = p.scale[static_cast<size_t>(i)] + 32;
      b.scales[i % 8] = static_cast<uint8_t>(b.scales[i % 8] | (s & 15) << (4 * (i / 8)));
      b.scales[8 + i % 4] = static_cast<uint8_t>(b.scales[8 + i % 4] | s >> 4 << (2 * (i / 4)));
    }
    for (int g = 0; g < 2; ++g)
      for (int k = 0; k < 4; ++k) put_bits(p.code.data() + 128 * g + 32 * k, 2 * k, 3, 0, b.qs + 32 * g, 32);
    for (int i = 0; i < 8; ++i) put_bits(p.code.data() + 32 * i, i, 1, 2, b.hmask, 32);
  }
};

}  // namespace carat
