// How many rows lie side by side in a vector of the searches, and what its compilers' operators do not reach
// at full speed (generic/search_vectors.h).
//
// Included inside a target region; includes nothing but that.

namespace carat {
namespace {
constexpr int kSearchLanes = 4;
}
}  // namespace carat

#include "kernels/generic/search_vectors.h"

namespace carat {
namespace {

CARAT_LANES F lower(F a, F b) { return a < b ? a : b; }
CARAT_LANES F higher(F a, F b) { return a > b ? a : b; }
CARAT_LANES H lower(H a, H b) { return a < b ? a : b; }
CARAT_LANES H higher(H a, H b) { return a > b ? a : b; }
/// Whether a comparison holds in any lane.
CARAT_LANES bool any(I mask) {
  int32_t all = 0;
  for (int i = 0; i < kSearchLanes; ++i) all |= mask[i];
  return all != 0;
}
/// a b / 2^15, rounded to nearest, ties up.
CARAT_LANES H multiply_high(H a, H b) {
  H product;
  for (int i = 0; i < 2 * kSearchLanes; ++i)
    product[i] = static_cast<int16_t>((int32_t{a[i]} * b[i] + (1 << 14)) >> 15);
  return product;
}
/// Adds the two products of each lane.
CARAT_LANES I add_products(I sum, H a, H b) {
  for (int i = 0; i < kSearchLanes; ++i)
    sum[i] += int32_t{a[2 * i]} * b[2 * i] + int32_t{a[2 * i + 1]} * b[2 * i + 1];
  return sum;
}
/// a b + c, rounded once.
CARAT_LANES F fused(F a, F b, F c) {
  for (int i = 0; i < kSearchLanes; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
}
CARAT_LANES G fused(G a, G b, G c) {
  for (int i = 0; i < kSearchLanes / 2; ++i) c[i] = __builtin_fma(a[i], b[i], c[i]);
  return c;
}

}  // namespace
}  // namespace carat
