// IQ2_S: 256 columns in 16 leaves of 16; a 4-bit scale per leaf under one f16; per 8 columns one of 1,024
// vectors of magnitudes and eight signs.
//   0   f16 d
//   2   u8 qs[32]      of columns 8k .. 8k + 7: low 8 bits of the entry
//   34  u8 signs[32]   of the same: bit j: column 8k + j is negative
//   66  u8 qh[8]       bits 2 (k % 4), 2 (k % 4) + 1 of byte k / 4: the entry's high 2 bits
//   74  u8 scales[8]   nibble i % 2 of byte i / 2: (s - 1) / 2 of leaf i
// Value: d / 8 * s * level.
#pragma once

#include "encodings/iq2_xxs.h"

namespace carat {

struct IQ2_S : CodebookFacts<16, 8, 8, 10, Signs::free, 31, 64> {
  static constexpr std::string_view kName = "IQ2_S";
  static constexpr uint32_t kGgmlType = 22;
  static constexpr float kUnit = 0.125f;
  static constexpr const auto& kGrid = kIq2SGrid;
  static constexpr const auto& kRanks = kIq2Ranks;
  CARAT_ENCODING_INLINE void expand(uint32_t code, int8_t* level) { expand_atom<IQ2_S>(code, level); }

  struct [[gnu::packed]] Block {
    uint16_t d;
    uint8_t qs[32];
    uint8_t signs[32];
    uint8_t qh[8];
    uint8_t scales[8];
  };
  static_assert(sizeof(Block) == 82);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p.d = b.d;
    for (size_t i = 0; i < 16; ++i)
      p.scale[i] = static_cast<int8_t>(2 * (b.scales[i / 2] >> (4 * (i % 2)) & 15) + 1);
    for (size_t k = 0; k < 32; ++k) {
      const uint32_t high = b.qh[k / 4] >> (2 * (k % 4)) & 3u;
      p.code[k] = b.qs[k] | high << 8 | uint32_t{b.signs[k]} << 10;
    }
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    b.d = p.d;
    for (size_t i = 0; i < 8; ++i)
      b.scales[i] = static_cast<uint8_t>(p.scale[2 * i] / 2 | p.scale[2 * i + 1] / 2 << 4);
    for (size_t k = 0; k < 32; ++k) {
      b.qs[k] = static_cast<uint8_t>(p.code[k]);
      b.qh[k / 4] = static_cast<uint8_t>(b.qh[k / 4] | (p.code[k] >> 8 & 3) << (2 * (k % 4)));
      b.signs[k] = static_cast<uint8_t>(p.code[k] >> 10);
    }
  }
};

}  // namespace carat
