// IQ3_XXS: 256 columns in 8 leaves of 32; a 4-bit scale per leaf under one f16; per 4 columns one of 256
// vectors of magnitudes, per 8 seven signs.
//   0   f16 d
//   2   u8 qs[64]      entry of columns 4k .. 4k + 3
//   66  u32 rest[8]    of leaf i: bits 7k .. 7k + 6: signs of columns 32i + 8k .. 32i + 8k + 6   (k < 4);
//                      bits 28 .. 31: (s - 1) / 2
// Value: d / 4 * s * level; the eighth sign makes the number of negative ones even.
#pragma once

#include <string_view>

#include "encodings/codebook.h"

namespace carat {

inline constexpr int kIq3XxsRanks[8] = {4, 12, 20, 28, 36, 44, 52, 62};

struct IQ3_XXS : CodebookFacts<32, 8, 4, 8, Signs::even, 31, 64> {
  static constexpr std::string_view kName = "IQ3_XXS";
  static constexpr uint32_t kGgmlType = 18;
  static constexpr float kUnit = 0.25f;
  static constexpr const auto& kGrid = kIq3XxsGrid;
  static constexpr const auto& kRanks = kIq3XxsRanks;
  CARAT_ENCODING_INLINE void expand(uint32_t code, int8_t* level) { expand_atom<IQ3_XXS>(code, level); }

  struct [[gnu::packed]] Block {
    uint16_t d;
    uint8_t qs[64];
    uint32_t rest[8];
  };
  static_assert(sizeof(Block) == 98);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p.d = b.d;
    for (size_t i = 0; i < 8; ++i) {
      const uint32_t rest = b.rest[i];
      p.scale[i] = static_cast<int8_t>(2 * (rest >> 28) + 1);
      for (size_t k = 0; k < 4; ++k) {
        const uint8_t* q = b.qs + 8 * i + 2 * k;
        p.code[4 * i + k] = q[0] | uint32_t{q[1]} << 8 | even_signs(rest >> (7 * k) & 127) << 16;
      }
    }
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b.d = p.d;
    for (size_t i = 0; i < 8; ++i) {
      uint32_t rest = static_cast<uint32_t>(p.scale[i] / 2) << 28;
      for (size_t k = 0; k < 4; ++k) {
        const uint32_t code = p.code[4 * i + k];
        b.qs[8 * i + 2 * k] = static_cast<uint8_t>(code);
        b.qs[8 * i + 2 * k + 1] = static_cast<uint8_t>(code >> 8);
        rest |= (code >> 16 & 127) << (7 * k);
      }
      b.rest[i] = rest;
    }
  }
};

}  // namespace carat
