// IQ1_M: 256 columns in 16 leaves of 16; a 3-bit scale per leaf under one f16; per 8 columns one of 2,048
// ternary vectors and a shift.
//   0   u8 qs[32]       of columns 8k .. 8k + 7: low 8 bits of the entry
//   32  u8 qh[16]       nibble k % 2 of byte k / 2: bits 0 .. 2: high bits of the entry; bit 3: the columns
//   are
//                       shifted downwards
//   48  u16 scales[4]   bits 3 (i % 4) .. of word i / 4: (s - 1) / 2 of leaf i; bits 12 .. 15 of word w: bits
//                       4w .. 4w + 3 of f16 d
// Value: d / 8 * s * level, level being 8 t + 1, or 8 t - 1 where shifted downwards, of t in {-1, 0, 1}.
#pragma once

#include "encodings/iq1_s.h"

namespace carat {

struct IQ1_M : CodebookFacts<16, 8, 8, 11, Signs::shift, 15, 16> {
  static constexpr std::string_view kName = "IQ1_M";
  static constexpr uint32_t kGgmlType = 29;
  static constexpr float kUnit = 0.125f;
  static constexpr const auto& kGrid = kIq1Grid;
  static constexpr const auto& kRanks = kIq1Ranks;
  static constexpr bool kLeafShift = false;
  CARAT_ENCODING_INLINE void expand(uint32_t code, int8_t* level) { expand_atom<IQ1_M>(code, level); }

  struct [[gnu::packed]] Block {
    uint8_t qs[32];
    uint8_t qh[16];
    uint16_t scales[4];
  };
  static_assert(sizeof(Block) == 56);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p.d = 0;
    for (size_t w = 0; w < 4; ++w) {
      const uint32_t word = b.scales[w];
      p.d = static_cast<uint16_t>(p.d | word >> 12 << (4 * w));
      for (size_t i = 0; i < 4; ++i) p.scale[4 * w + i] = static_cast<int8_t>(2 * (word >> (3 * i) & 7) + 1);
    }
    for (size_t k = 0; k < 32; ++k) p.code[k] = b.qs[k] | (b.qh[k / 2] >> (4 * (k % 2)) & 15u) << 8;
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    for (size_t w = 0; w < 4; ++w) {
      uint32_t word = (uint32_t{p.d} >> (4 * w) & 15) << 12;
      for (size_t i = 0; i < 4; ++i) word |= static_cast<uint32_t>(p.scale[4 * w + i] / 2) << (3 * i);
      b.scales[w] = static_cast<uint16_t>(word);
    }
    for (size_t k = 0; k < 32; ++k) {
      b.qs[k] = static_cast<uint8_t>(p.code[k]);
      b.qh[k / 2] = static_cast<uint8_t>(b.qh[k / 2] | (p.code[k] >> 8 & 15) << (4 * (k % 2)));
    }
  }
};

}  // namespace carat
