// Q5_0: 32 columns under one f16 scale, 5-bit codes around 16.
//   0  f16 d
//   2  u8 qh[4]    fifth bits: bit j % 8 of byte j / 8 belongs to column j
//   6  u8 qs[16]   low nibble: column j; high nibble: column j + 16
// Value: d * (q - 16), one float32 product.
#pragma once

#include <string_view>

#include "encodings/five_bits.h"
#include "encodings/planes.h"

namespace carat {

struct Q5_0 : BlockFacts<32, 32, false, Offset::none> {
  static constexpr std::string_view kName = "Q5_0";
  static constexpr uint32_t kGgmlType = 6;
  static constexpr int kCodes = 32;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return code - 16; }

  struct [[gnu::packed]] Block {
    uint16_t d;
    uint8_t qh[4];
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == 22);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    p.d = b.d;
    take_bits(b.qs, 0, 15, 0, &p.code[0], 16);
    take_bits(b.qs, 4, 15, 0, &p.code[16], 16);
    take_fifth_bits(b.qh, p.code.data());
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b = {};
    b.d = p.d;
    put_bits(&p.code[0], 0, 15, 0, b.qs, 16);
    put_bits(&p.code[16], 4, 15, 0, b.qs, 16);
    put_fifth_bits(p.code.data(), b.qh);
  }
};

}  // namespace carat
