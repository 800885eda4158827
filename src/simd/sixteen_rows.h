// Sixteen evenly spaced rows of bytes, addressed without arithmetic.
//
// A kernel that walks along sixteen rows needs sixteen addresses per step. Kept as pointers they do not fit
// into the registers, and recomputed they were half of the instructions of a product with one token (1,180
// with them and 540 without for a tile of Q2_K; Zen 4 had the slots to spare and is no faster without).
// Two pointers and four distances reach all of them: base + distance * {1, 2, 4} + constant is one operand.
#pragma once

#include <cstdint>

#include "simd/target.h"

namespace carat {

/// The 4 bytes at p.
CARAT_ALWAYS_INLINE int32_t load_32(const void* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return x;
}

class SixteenRows {
 public:
  CARAT_ALWAYS_INLINE SixteenRows(const uint8_t* first, int64_t stride)
      : first_(first),
        ninth_(first + 8 * stride),
        one_(stride),
        three_(3 * stride),
        five_(5 * stride),
        seven_(7 * stride) {
    // The compiler must not know how they hang together, or it recomputes some from the others.
    asm("" : "+r"(ninth_), "+r"(three_), "+r"(five_), "+r"(seven_));
  }

  CARAT_ALWAYS_INLINE SixteenRows operator+(int64_t bytes) const {
    SixteenRows moved = *this;
    moved.first_ += bytes;
    moved.ninth_ += bytes;
    return moved;
  }

  template <int r>
  CARAT_ALWAYS_INLINE const uint8_t* row() const {
    static_assert(r >= 0 && r < 16);
    return (r < 8 ? first_ : ninth_) + distance<r % 8>();
  }

  /// r * stride.
  template <int r>
  CARAT_ALWAYS_INLINE int64_t distance() const {
    static_assert(r >= 0 && r < 16);
    if constexpr (r == 0) return 0;
    if constexpr (r % 7 == 0) return seven_ * (r / 7);
    if constexpr (r % 5 == 0) return five_ * (r / 5);
    if constexpr (r % 3 == 0) return three_ * (r / 3);
    return one_ * r;
  }

 private:
  const uint8_t *first_, *ninth_;
  int64_t one_, three_, five_, seven_;
};

}  // namespace carat
