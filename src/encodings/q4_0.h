// Q4_0: 32 columns under one f16 scale, 4-bit codes around 8.
//   0  f16 d
//   2  u8 qs[16]   low nibble: column j; high nibble: column j + 16
// Value: d * (q - 8), one float32 product.
#pragma once

#include <string_view>

#include "encodings/planes.h"

namespace carat {

struct Q4_0 : BlockFacts<32, 32, false, Offset::none> {
  static constexpr std::string_view kName = "Q4_0";
  static constexpr uint32_t kGgmlType = 2;
  static constexpr int kCodes = 16;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return code - 8; }

  struct [[gnu::packed]] Block {
    uint16_t d;
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == 18);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    p.d = b.d;
    take_bits(b.qs, 0, 15, 0, &p.code[0], 16);
    take_bits(b.qs, 4, 15, 0, &p.code[16], 16);
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    b.d = p.d;
    put_bits(&p.code[0], 0, 15, 0, b.qs, 16);
    put_bits(&p.code[16], 4, 15, 0, b.qs, 16);
  }
};

}  // namespace carat
