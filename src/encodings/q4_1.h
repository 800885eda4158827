// Q4_1: 32 columns under one f16 scale and one f16 minimum, 4-bit codes.
//   0  f16 d
//   2  f16 m
//   4  u8 qs[16]   low nibble: column j; high nibble: column j + 16
// Value: d * q + m, a float32 product, then a float32 sum.
#pragma once

#include <string_view>

#include "encodings/planes.h"

namespace carat {

struct Q4_1 : BlockFacts<32, 32, false, Offset::stored> {
  static constexpr std::string_view kName = "Q4_1";
  static constexpr uint32_t kGgmlType = 3;
  static constexpr int kCodes = 16;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return code; }

  struct [[gnu::packed]] Block {
    uint16_t d, m;
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == 20);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    p.d = b.d;
    p.m = b.m;
    take_bits(b.qs, 0, 15, 0, &p.code[0], 16);
    take_bits(b.qs, 4, 15, 0, &p.code[16], 16);
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    b.d = p.d;
    b.m = p.m;
    put_bits(&p.code[0], 0, 15, 0, b.qs, 16);
    put_bits(&p.code[16], 4, 15, 0, b.qs, 16);
  }
};

}  // namespace carat
