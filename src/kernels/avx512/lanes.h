// How many rows lie side by side in a vector of the searches, and what its compilers' operators do not reach
// at full speed (generic/search_vectors.h).
//
// Included inside a target region; includes nothing but that.

namespace carat {
namespace {
constexpr int kSearchLanes = 16;
}
}  // namespace carat

#include "kernels/generic/search_vectors.h"

namespace carat {
namespace {

CARAT_LANES F lower(F a, F b) { return _mm512_min_ps(a, b); }
CARAT_LANES F higher(F a, F b) { return _mm512_max_ps(a, b); }
CARAT_LANES H lower(H a, H b) { return (H)_mm512_min_epi16((__m512i)a, (__m512i)b); }
CARAT_LANES H higher(H a, H b) { return (H)_mm512_max_epi16((__m512i)a, (__m512i)b); }
/// Whether a comparison holds in any lane.
CARAT_LANES bool any(I mask) { return _mm512_movepi32_mask((__m512i)mask) != 0; }
CARAT_LANES H multiply_high(H a, H b) { return (H)_mm512_mulhrs_epi16((__m512i)a, (__m512i)b); }
CARAT_LANES I add_products(I sum, H a, H b) {
  return (I)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
}
/// a b + c, rounded once.
CARAT_LANES F fused(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
CARAT_LANES G fused(G a, G b, G c) { return _mm512_fmadd_pd(a, b, c); }

}  // namespace
}  // namespace carat
