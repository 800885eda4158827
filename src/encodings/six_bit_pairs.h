// The 8 scales and 8 minimums of Q4_K and Q5_K, 6 bits each, in 12 bytes:
//   byte i      (i < 4)  bits 0-5: scale of leaf i;        bits 6-7: bits 4-5 of the scale of leaf i + 4
//   byte 4 + i           bits 0-5: minimum of leaf i;      bits 6-7: bits 4-5 of the minimum of leaf i + 4
//   byte 8 + i           bits 0-3: low bits of the scale of leaf i + 4;  bits 4-7: of its minimum
#pragma once

#include "encodings/planes.h"

namespace carat {

CARAT_ENCODING_INLINE void unpack_six_bit_pairs(const uint8_t* bytes, std::array<int8_t, 8>& scale,
                                                std::array<uint8_t, 8>& min) {
  for (size_t i = 0; i < 4; ++i) {
    const int a = bytes[i], b = bytes[4 + i], c = bytes[8 + i];
    scale[i] = static_cast<int8_t>(a & 63);
    min[i] = static_cast<uint8_t>(b & 63);
    scale[4 + i] = static_cast<int8_t>((c & 15) | a >> 6 << 4);
    min[4 + i] = static_cast<uint8_t>(c >> 4 | b >> 6 << 4);
  }
}

CARAT_ENCODING_INLINE void pack_six_bit_pairs(const std::array<int8_t, 8>& scale,
                                              const std::array<uint8_t, 8>& min, uint8_t* bytes) {
  for (size_t i = 0; i < 4; ++i) {
    bytes[i] = static_cast<uint8_t>(scale[i] | scale[4 + i] >> 4 << 6);
    bytes[4 + i] = static_cast<uint8_t>(min[i] | min[4 + i] >> 4 << 6);
    bytes[8 + i] = static_cast<uint8_t>((scale[4 + i] & 15) | (min[4 + i] & 15) << 4);
  }
}

}  // namespace carat
