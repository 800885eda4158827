// IQ4_NL: 32 columns under one f16 scale; 4-bit codes that name one of 16 unevenly spaced levels.
//   0  f16 d
//   2  u8 qs[16]   low nibble: column j; high nibble: column j + 16
// Value: d * kIq4Levels[q], one float32 product.
#pragma once

#include <string_view>

#include "encodings/planes.h"

namespace carat {

/// The levels of IQ4_NL and IQ4_XS (ggml, kvalues_iq4nl): denser around zero, as weights are.
inline constexpr int8_t kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

struct IQ4_NL : BlockFacts<32, 32, false, Offset::none> {
  static constexpr std::string_view kName = "IQ4_NL";
  static constexpr uint32_t kGgmlType = 20;
  static constexpr int kCodes = 16;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return kIq4Levels[code]; }

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
