// MXFP4 (OCP Microscaling Formats v1.0): 32 columns under one power of two, each a four-bit float E2M1.
//   0  u8 e        E8M0
//   1  u8 qs[16]   low nibble: column j; high nibble: column j + 16
// Value: 2^(e - 128) * level, levels being twice those of E2M1.
#pragma once

#include <string_view>

#include "encodings/small_floats.h"

namespace carat {

struct MXFP4 : BlockFacts<32, 32, false, Offset::none, E8M0Half> {
  static constexpr std::string_view kName = "MXFP4";
  static constexpr uint32_t kGgmlType = 39;
  static constexpr int kCodes = 16;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return kE2m1Levels[code]; }
  CARAT_ENCODING_INLINE constexpr int stored_level(int stored) { return kE2m1Levels[e2m1_rank(stored)]; }

  struct [[gnu::packed]] Block {
    uint8_t e;
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == 17);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    p.own[0] = b.e;
    for (size_t j = 0; j < 16; ++j) {
      p.code[j] = e2m1_rank(b.qs[j] & 15);
      p.code[j + 16] = e2m1_rank(b.qs[j] >> 4);
    }
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b.e = p.own[0];
    for (size_t j = 0; j < 16; ++j)
      b.qs[j] = static_cast<uint8_t>(e2m1_stored(p.code[j]) | e2m1_stored(p.code[j + 16]) << 4);
  }
};

}  // namespace carat
