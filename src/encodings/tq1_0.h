// TQ1_0: 256 columns under one f16 scale, each -1, 0 or 1; five of them in a byte.
//   0   u8 qs[48]   digit n of byte j: column 32n + j (j < 32), column 160 + 16n + j - 32 (j >= 32)   (n < 5)
//   48  u8 qh[4]    digit n of byte j: column 240 + 4n + j   (n < 4)
//   52  f16 d
// A byte is a fraction of 256 in base 3: its first digit is the integer part of 3 b / 256, and so on with
// what is left; it holds the least fraction with the digits wanted, rounded up. Value: d * (q - 1). In
// planes, leaves of 32 columns all have the scale 1.
#pragma once

#include <string_view>

#include "encodings/planes.h"

namespace carat {

struct TQ1_0 : BlockFacts<256, 32, true, Offset::none> {
  static constexpr std::string_view kName = "TQ1_0";
  static constexpr uint32_t kGgmlType = 34;
  static constexpr int kCodes = 3;
  static constexpr int kScaleLow = 1, kScaleHigh = 1;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return code - 1; }

  struct [[gnu::packed]] Block {
    uint8_t qs[48];
    uint8_t qh[4];
    uint16_t d;
  };
  static_assert(sizeof(Block) == 54);

  /// Digit n of byte j is code[j + n * stride].
  CARAT_ENCODING_INLINE void take_digits(const uint8_t* bytes, int count, int digits, uint8_t* code) {
    for (int j = 0; j < count; ++j) {
      int rest = bytes[j];
      for (int n = 0; n < digits; ++n) {
        code[j + n * count] = static_cast<uint8_t>(3 * rest >> 8);
        rest = 3 * rest & 255;
      }
    }
  }
  CARAT_ENCODING_INLINE void put_digits(const uint8_t* code, int count, int digits, uint8_t* bytes) {
    for (int j = 0; j < count; ++j) {
      int number = 0;  // of five digits in base 3
      for (int n = 0; n < 5; ++n) number = 3 * number + (n < digits ? code[j + n * count] : 0);
      bytes[j] = static_cast<uint8_t>((256 * number + 242) / 243);
    }
  }

  CARAT_ENCODING_INLINE void unpack(const Block& b, Planes& p) {
    p = {};
    p.d = b.d;
    p.scale.fill(1);
    take_digits(b.qs, 32, 5, p.code.data());
    take_digits(b.qs + 32, 16, 5, p.code.data() + 160);
    take_digits(b.qh, 4, 4, p.code.data() + 240);
  }

  CARAT_ENCODING_INLINE void pack(const Planes& p, Block& b) {
    b.d = p.d;
    put_digits(p.code.data(), 32, 5, b.qs);
    put_digits(p.code.data() + 160, 16, 5, b.qs + 32);
    put_digits(p.code.data() + 240, 4, 4, b.qh);
  }
};

}  // namespace carat
