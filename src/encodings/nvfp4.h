// NVFP4: 64 columns in 4 leaves of 16, each under a scale of its own in eight bits; four-bit floats E2M1.
//   0  u8 d[4]     UE4M3, of leaf i
//   4  u8 qs[32]   low nibble of byte 8i + j: column 16i + j; high nibble: column 16i + j + 8   (j < 8)
// Value: scale * level, levels being twice those of E2M1 and scales half of what is stored. What a whole
// tensor is multiplied by besides lies in a tensor of its own (NAME.scale beside NAME.weight).
#pragma once

#include <string_view>

#include "encodings/small_floats.h"

namespace carat {

struct NVFP4 : BlockFacts<64, 16, false, Offset::none, UE4M3Half> {
  static constexpr std::string_view kName = "NVFP4";
  static constexpr uint32_t kGgmlType = 40;
  static constexpr int kCodes = 16;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return kE2m1Levels[code]; }
  CARAT_ENCODING_INLINE constexpr int stored_level(int stored) { return kE2m1Levels[e2m1_rank(stored)]; }

  struct [[gnu::packed]] Block {
    uint8_t d[4];
    uint8_t qs[32];
  };
  static_assert(sizeof(Block) == 36);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    for (size_t i = 0; i < 4; ++i) p.own[i] = b.d[i];
    for (size_t j = 0; j < 32; ++j) {
      const size_t column = j / 8 * 16 + j % 8;
      p.code[column] = e2m1_rank(b.qs[j] & 15);
      p.code[column + 8] = e2m1_rank(b.qs[j] >> 4);
    }
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    for (size_t i = 0; i < 4; ++i) b.d[i] = p.own[i];
    for (size_t j = 0; j < 32; ++j) {
      const size_t column = j / 8 * 16 + j % 8;
      b.qs[j] = static_cast<uint8_t>(e2m1_stored(p.code[column]) | e2m1_stored(p.code[column + 8]) << 4);
    }
  }
};

}  // namespace carat
