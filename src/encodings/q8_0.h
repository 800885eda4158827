// Q8_0: 32 columns under one f16 scale, signed bytes.
//   0  f16 d
//   2  i8 qs[32]
// Value: d * q, one float32 product. The canonical code is q + 128, so that codes are unsigned everywhere.
#pragma once

#include <string_view>

#include "encodings/planes.h"

namespace carat {

struct Q8_0 : BlockFacts<32, 32, false, Offset::none> {
  static constexpr std::string_view kName = "Q8_0";
  static constexpr uint32_t kGgmlType = 8;
  static constexpr int kCodes = 256;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return code - 128; }

  struct [[gnu::packed]] Block {
    uint16_t d;
    int8_t qs[32];
  };
  static_assert(sizeof(Block) == 34);

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p.d = b.d;
    p.m = 0;
    for (size_t j = 0; j < 32; ++j) p.code[j] = static_cast<uint8_t>(b.qs[j] ^ 0x80);
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b.d = p.d;
    for (size_t j = 0; j < 32; ++j) b.qs[j] = static_cast<int8_t>(p.code[j] ^ 0x80);
  }
};

}  // namespace carat
