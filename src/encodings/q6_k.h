// Q6_K: 256 columns in 16 leaves of 16; a signed 8-bit scale per leaf under one f16; 6-bit codes around 32.
//   0    u8 ql[128]      low 4 bits: nibble h of byte 64g + j: column 128g + 64h + j   (g < 2, h < 2, j < 64)
//   128  u8 qh[64]       high 2 bits: bits 2k, 2k+1 of byte 32g + j: column 128g + 32k + j   (k < 4, j < 32)
//   192  i8 scales[16]
//   208  f16 d
// Value: (d * s) * (q - 32), each operation rounded to float32.
#pragma once

#include <string_view>

#include "encodings/planes.h"

namespace carat {

struct Q6_K : BlockFacts<256, 16, true, Offset::none> {
  static constexpr std::string_view kName = "Q6_K";
  static constexpr uint32_t kGgmlType = 14;
  static constexpr int kCodes = 64;
  static constexpr int kScaleLow = -128, kScaleHigh = 127;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return code - 32; }

  struct [[gnu::packed]] Block {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint16_t d;
  };
  static_assert(sizeof(Block) == 210);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    p.d = b.d;
    for (size_t i = 0; i < 16; ++i) p.scale[i] = b.scales[i];
    for (int g = 0; g < 2; ++g) {
      uint8_t* code = p.code.data() + 128 * g;
      for (int h = 0; h < 2; ++h) take_bits(b.ql + 64 * g, 4 * h, 15, 0, code + 64 * h, 64);
      for (int k = 0; k < 4; ++k) take_bits(b.qh + 32 * g, 2 * k, 3, 4, code + 32 * k, 32);
    }
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    b.d = p.d;
    for (size_t i = 0; i < 16; ++i) b.scales[i] = p.scale[i];
    for (int g = 0; g < 2; ++g) {
      const uint8_t* code = p.code.data() + 128 * g;
      for (int h = 0; h < 2; ++h) put_bits(code + 64 * h, 4 * h, 15, 0, b.ql + 64 * g, 64);
      for (int k = 0; k < 4; ++k) put_bits(code + 32 * k, 2 * k, 3, 4, b.qh + 32 * g, 32);
    }
  }
};

}  // namespace carat
