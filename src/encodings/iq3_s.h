// IQ3_S: 256 columns in 8 leaves of 32; a 4-bit scale per leaf under one f16; per 4 columns one of 512
// vectors of magnitudes and four signs.
//   0    f16 d
//   2    u8 qs[64]      of columns 4k .. 4k + 3: low 8 bits of the entry
//   66   u8 qh[8]       bit k % 8 of byte k / 8: the entry's ninth bit
//   74   u8 signs[32]   bit j of byte i: column 8i + j is negative
//   106  u8 scales[4]   nibble i % 2 of byte i / 2: (s - 1) / 2 of leaf i
// Value: d * s * level.
#pragma once

#include <string_view>

#include "encodings/codebook.h"

namespace carat {

inline constexpr int kIq3SRanks[8] = {1, 3, 5, 7, 9, 11, 13, 15};

struct IQ3_S : CodebookFacts<32, 4, 4, 9, Signs::free, 31, 16> {
  static constexpr std::string_view kName = "IQ3_S";
  static constexpr uint32_t kGgmlType = 21;
  static constexpr float kUnit = 1.0f;
  static constexpr const auto& kGrid = kIq3SGrid;
  static constexpr const auto& kRanks = kIq3SRanks;
  CARAT_ENCODING_INLINE void expand(uint32_t code, int8_t* level) { expand_atom<IQ3_S>(code, level); }

  struct [[gnu::packed]] Block {
    uint16_t d;
    uint8_t qs[64];
    uint8_t qh[8];
    uint8_t signs[32];
    uint8_t scales[4];
  };
  static_assert(sizeof(Block) == 110);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p.d = b.d;
    for (size_t i = 0; i < 8; ++i)
      p.scale[i] = static_cast<int8_t>(2 * (b.scales[i / 2] >> (4 * (i % 2)) & 15) + 1);
    for (size_t k = 0; k < 64; ++k) {
      const uint32_t high = b.qh[k / 8] >> (k % 8) & 1u, signs = b.signs[k / 2] >> (4 * (k % 2)) & 15u;
      p.code[k] = b.qs[k] | high << 8 | signs << 9;
    }
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    b.d = p.d;
    for (size_t i = 0; i < 4; ++i)
      b.scales[i] = static_cast<uint8_t>(p.scale[2 * i] / 2 | p.scale[2 * i + 1] / 2 << 4);
    for (size_t k = 0; k < 64; ++k) {
      b.qs[k] = static_cast<uint8_t>(p.code[k]);
      b.qh[k / 8] = static_cast<uint8_t>(b.qh[k / 8] | (p.code[k] >> 8 & 1) << (k % 8));
      b.signs[k / 2] = static_cast<uint8_t>(b.signs[k / 2] | (p.code[k] >> 9 & 15) << (4 * (k % 2)));
    }
  }
};

}  // namespace carat
