// IQ1_S: 256 columns in 8 leaves of 32; a 3-bit scale and a shift per leaf under one f16; per 8 columns one
// of 2,048 ternary vectors.
//   0   f16 d
//   2   u8 qs[32]     of columns 8k .. 8k + 7: low 8 bits of the entry
//   34  u16 qh[8]     of leaf i: bits 3k .. 3k + 2: high bits of the entry of columns 32i + 8k ..   (k < 4);
//                     bits 12 .. 14: (s - 1) / 2; bit 15: the leaf is shifted downwards
// Value: d / 8 * s * level, level being 8 t + 1, or 8 t - 1 where shifted downwards, of t in {-1, 0, 1}. The
// codes of a leaf's atoms agree about the shift.
#pragma once

#include <string_view>

#include "encodings/codebook.h"

namespace carat {

inline constexpr int kIq1Ranks[4] = {-8, 0, 8, 0};

struct IQ1_S : CodebookFacts<32, 8, 8, 11, Signs::shift, 15, 16> {
  static constexpr std::string_view kName = "IQ1_S";
  static constexpr uint32_t kGgmlType = 19;
  static constexpr float kUnit = 0.125f;
  static constexpr const auto& kGrid = kIq1Grid;
  static constexpr const auto& kRanks = kIq1Ranks;
  static constexpr bool kLeafShift = true;
  CARAT_ENCODING_INLINE void expand(uint32_t code, int8_t* level) { expand_atom<IQ1_S>(code, level); }

  struct [[gnu::packed]] Block {
    uint16_t d;
    uint8_t qs[32];
    uint16_t qh[8];
  };
  static_assert(sizeof(Block) == 50);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p.d = b.d;
    for (size_t i = 0; i < 8; ++i) {
      const uint32_t h = b.qh[i];
      p.scale[i] = static_cast<int8_t>(2 * (h >> 12 & 7) + 1);
      for (size_t k = 0; k < 4; ++k)
        p.code[4 * i + k] = b.qs[4 * i + k] | (h >> (3 * k) & 7) << 8 | h >> 15 << 11;
    }
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b.d = p.d;
    for (size_t i = 0; i < 8; ++i) {
      uint32_t h = static_cast<uint32_t>(p.scale[i] / 2) << 12 | p.code[4 * i] >> 11 << 15;
      for (size_t k = 0; k < 4; ++k) {
        b.qs[4 * i + k] = static_cast<uint8_t>(p.code[4 * i + k]);
        h |= (p.code[4 * i + k] >> 8 & 7) << (3 * k);
      }
      b.qh[i] = static_cast<uint16_t>(h);
    }
  }
};

}  // namespace carat
