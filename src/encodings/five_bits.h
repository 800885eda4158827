// The fifth bit of Q5_0 and Q5_1: bit j of a little-endian u32 belongs to column j.
#pragma once

#include "encodings/planes.h"

namespace carat {

CARAT_ENCODING_INLINE void take_fifth_bits(const uint8_t* qh, uint8_t* code) {
  for (int j = 0; j < 32; ++j) code[j] = static_cast<uint8_t>(code[j] | ((qh[j / 8] >> (j % 8)) & 1) << 4);
}

CARAT_ENCODING_INLINE void put_fifth_bits(const uint8_t* code, uint8_t* qh) {
  for (int j = 0; j < 32; ++j) qh[j / 8] = static_cast<uint8_t>(qh[j / 8] | (code[j] >> 4 & 1) << (j % 8));
}

}  // namespace carat
