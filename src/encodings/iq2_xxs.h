// IQ2_XXS: 256 columns in 8 leaves of 32; a 4-bit scale per leaf under one f16; per 8 columns one of 256
// vectors of magnitudes and seven signs.
//   0  f16 d
//   2  u32 [8][2], for each leaf i:
//        [0]  byte k: entry of columns 32i + 8k .. 32i + 8k + 7   (k < 4)
//        [1]  bits 7k .. 7k + 6: signs of the first seven of those; bits 28 .. 31: (s - 1) / 2
// Value: d / 8 * s * level; the eighth sign makes the number of negative ones even.
#pragma once

#include <string_view>

#include "encodings/codebook.h"

namespace carat {

/// The magnitudes of IQ2_*.
inline constexpr int kIq2Ranks[4] = {8, 25, 43, 0};

struct IQ2_XXS : CodebookFacts<32, 8, 8, 8, Signs::even, 31, 64> {
  static constexpr std::string_view kName = "IQ2_XXS";
  static constexpr uint32_t kGgmlType = 16;
  static constexpr float kUnit = 0.125f;
  static constexpr const auto& kGrid = kIq2XxsGrid;
  static constexpr const auto& kRanks = kIq2Ranks;
  CARAT_ENCODING_INLINE void expand(uint32_t code, int8_t* level) { expand_atom<IQ2_XXS>(code, level); }

  struct [[gnu::packed]] Block {
    uint16_t d;
    uint32_t qs[8][2];
  };
  static_assert(sizeof(Block) == 66);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p.d = b.d;
    for (size_t i = 0; i < 8; ++i) {
      const uint32_t entries = b.qs[i][0], rest = b.qs[i][1];
      p.scale[i] = static_cast<int8_t>(2 * (rest >> 28) + 1);
      for (size_t k = 0; k < 4; ++k)
        p.code[4 * i + k] = (entries >> (8 * k) & 255) | even_signs(rest >> (7 * k) & 127) << 8;
    }
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b.d = p.d;
    for (size_t i = 0; i < 8; ++i) {
      uint32_t entries = 0, rest = static_cast<uint32_t>(p.scale[i] / 2) << 28;
      for (size_t k = 0; k < 4; ++k) {
        entries |= (p.code[4 * i + k] & 255) << (8 * k);
        rest |= (p.code[4 * i + k] >> 8 & 127) << (7 * k);
      }
      b.qs[i][0] = entries;
      b.qs[i][1] = rest;
    }
  }
};

}  // namespace carat
