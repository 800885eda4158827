// Vectors whose lanes are rows: the arithmetic of the searches, written once.
//
// A strip of kSearchLanes rows is transposed to [column][lane], and every sum runs over columns, so that no
// result depends on how many lanes there are. With only +, -, *, / and comparisons, each rounded once
// (no contraction), all instruction sets then give the same bits. Rejected: rows along the vector, whose
// horizontal sums would fix an order per instruction set; intrinsics, as the compilers' vector types do.
//
// Included inside a target region after search_vectors.h and what the instruction set adds to it; includes
// nothing.

namespace carat {
namespace {

CARAT_LANES F splat(float x) { return F{} + x; }
CARAT_LANES F magnitude(F x) { return (F)((I)x & 0x7fffffff); }
/// a / b where b is not 0, else 0.
CARAT_LANES F ratio(F a, F b) {
  const I zero = b == 0.0f;
  return zero ? splat(0) : a / (zero ? splat(1) : b);
}
/// Nearest integer, ties to even, for |x| < 2^22.
CARAT_LANES F nearest_integer(F x) { return (x + 12582912.0f) - 12582912.0f; }
CARAT_LANES F clamp(F x, float low, float high) { return lower(higher(x, splat(low)), splat(high)); }
/// nearest_integer(x) in the low half of each lane, for |x| < 2^15.
CARAT_LANES I low_integer(F x) { return (I)(x + 12582912.0f); }
CARAT_LANES H pair(I low, I high) { return (H)((low & 0xffff) | (high << 16)); }
CARAT_LANES H twice(I x) { return pair(x, x); }

/// The nearest f16 as a float (ties to even); magnitudes beyond 65504 become 65504, never infinity.
CARAT_LANES F round_to_f16(F x) {
  const I sign = (I)x & static_cast<int32_t>(0x80000000);
  const F a = lower(magnitude(x), splat(65504.0f));
  const I bits = (I)a;
  const F normal = (F)((bits + 0xfff + ((bits >> 13) & 1)) & ~0x1fff);
  const F subnormal = (a + 0.5f) - 0.5f;  // the last bit of [0.5, 1) is worth 2^-24, as a subnormal f16's
  const F rounded = a < 0x1p-14f ? subnormal : normal;
  return (F)((I)rounded | sign);
}

/// As round_to_f16, but what is not zero stays so: for scales that integers multiply.
CARAT_LANES F round_scale_to_f16(F x) {
  const F rounded = round_to_f16(x);
  const F least = (F)((I)splat(0x1p-24f) | ((I)x & static_cast<int32_t>(0x80000000)));
  const I vanished = (rounded == 0.0f) & (x != 0.0f);
  return vanished ? least : rounded;
}

template <int kStride, size_t... k>
CARAT_LANES void exchange(F& a, F& b, std::index_sequence<k...>) {
  constexpr size_t s = kStride, lanes = kSearchLanes;
  const F low = __builtin_shufflevector(a, b, ((k & s) == 0 ? k : lanes + (k ^ s))...);
  const F high = __builtin_shufflevector(a, b, ((k & s) == 0 ? (k | s) : lanes + k)...);
  a = low;
  b = high;
}

template <int kStride>
CARAT_LANES void transpose_from(F (&m)[kSearchLanes]) {
  if constexpr (kStride < kSearchLanes) {
    CARAT_UNROLL
    for (int i = 0; i < kSearchLanes; ++i)
      if ((i & kStride) == 0)
        exchange<kStride>(m[i], m[i | kStride], std::make_index_sequence<kSearchLanes>{});
    transpose_from<2 * kStride>(m);
  }
}

/// Element [i][k] becomes [k][i]: log2 rounds of exchanged sub-squares.
CARAT_LANES void transpose(F (&m)[kSearchLanes]) { transpose_from<1>(m); }

}  // namespace
}  // namespace carat
