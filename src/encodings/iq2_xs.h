// IQ2_XS: 256 columns in 16 leaves of 16; a 4-bit scale per leaf under one f16; per 8 columns one of 512
// vectors of magnitudes and seven signs.
//   0   f16 d
//   2   u16 qs[32]     of columns 8k .. 8k + 7: bits 0 .. 8 entry, bits 9 .. 15 signs of the first seven
//   66  u8 scales[8]   nibble i % 2 of byte i / 2: (s - 1) / 2 of leaf i
// Value: d / 8 * s * level; the eighth sign makes the number of negative ones even.
#pragma once

#include "encodings/iq2_xxs.h"

namespace carat {

struct IQ2_XS : CodebookFacts<16, 8, 8, 9, Signs::even, 31, 64> {
  static constexpr std::string_view kName = "IQ2_XS";
  static constexpr uint32_t kGgmlType = 17;
  static constexpr float kUnit = 0.125f;
  static constexpr const auto& kGrid = kIq2XsGrid;
  static constexpr const auto& kRanks = kIq2Ranks;
  CARAT_ENCODING_INLINE void expand(uint32_t code, int8_t* level) { expand_atom<IQ2_XS>(code, level); }

  struct [[gnu::packed]] Block {
    uint16_t d;
    uint16_t qs[32];
    uint8_t scales[8];
  };
  static_assert(sizeof(Block) == 74);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p.d = b.d;
    for (size_t i = 0; i < 16; ++i)
      p.scale[i] = static_cast<int8_t>(2 * (b.scales[i / 2] >> (4 * (i % 2)) & 15) + 1);
    for (size_t k = 0; k < 32; ++k) {
      const uint32_t q = b.qs[k];
      p.code[k] = (q & 511) | even_signs(q >> 9) << 9;
    }
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b.d = p.d;
    for (size_t i = 0; i < 8; ++i)
      b.scales[i] = static_cast<uint8_t>(p.scale[2 * i] / 2 | p.scale[2 * i + 1] / 2 << 4);
    for (size_t k = 0; k < 32; ++k) b.qs[k] = static_cast<uint16_t>(p.code[k]);
  }
};

}  // namespace carat
