// IQ4_XS: 256 columns in 8 leaves of 32; a signed 6-bit scale per leaf under one f16; the levels of IQ4_NL.
//   0  f16 d
//   2  u16 scales_h     bits 2i, 2i+1: high 2 bits of s + 32 of leaf i
//   4  u8 scales_l[4]   nibble i % 2 of byte i / 2: its low 4 bits
//   8  u8 qs[128]       nibble h of byte 16i + j: column 32i + 16h + j   (i < 8, h < 2, j < 16)
// Value: (d * s) * kIq4Levels[q], each operation rounded to float32.
#pragma once

#include <string_view>

#include "encodings/iq4_nl.h"
#include "encodings/planes.h"

namespace carat {

struct IQ4_XS : BlockFacts<256, 32, true, Offset::none> {
  static constexpr std::string_view kName = "IQ4_XS";
  static constexpr uint32_t kGgmlType = 23;
  static constexpr int kCodes = 16;
  static constexpr int kScaleLow = -32, kScaleHigh = 31;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return kIq4Levels[code]; }

  struct [[gnu::packed]] Block {
    uint16_t d;
    uint16_t scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128];
  };
  static_assert(sizeof(Block) == 136);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    p.d = b.d;
    for (int i = 0; i < 8; ++i) {
      const int low = b.scales_l[i / 2] >> (4 * (i % 2)) & 15;
      const int high = b.scales_h >> (2 * i) & 3;
      p.scale[static_cast<size_t>(i)] = static_cast<int8_t>((low | high << 4) - 32);
      for (int h = 0; h < 2; ++h) take_bits(b.qs + 16 * i, 4 * h, 15, 0, p.code.data() + 32 * i + 16 * h, 16);
    }
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    b.d = p.d;
    for (int i = 0; i < 8; ++i) {
      const int s = p.scale[static_cast<size_t>(i)] + 32;
      b.scales_l[i / 2] = static_cast<uint8_t>(b.scales_l[i / 2] | (s & 15) << (4 * (i % 2)));
      b.scales_h = static_cast<uint16_t>(b.scales_h | s >> 4 << (2 * i));
      for (int h = 0; h < 2; ++h) put_bits(p.code.data() + 32 * i + 16 * h, 4 * h, 15, 0, b.qs + 16 * i, 16);
    }
  }
};

}  // namespace carat
