// How many rows lie side by side in a vector of the searches, and what its compilers' operators do not reach
// at full speed (generic/search_vectors.h).
//
// Included inside a target region; includes nothing but that.

namespace carat {
namespace {
constexpr int kSearchLanes = 8;
}
}  // namespace carat

#include "kernels/generic/search_vectors.h"

namespace carat {
namespace {

CARAT_LANES F lower(F a, F b) { return _mm256_min_ps(a, b); }
CARAT_LANES F higher(F a, F b) { return _mm256_max_ps(a, b); }
CARAT_LANES H lower(H a, H b) { return (H)_mm256_min_epi16((__m256i)a, (__m256i)b); }
CARAT_LANES H higher(H a, H b) { return (H)_mm256_max_epi16((__m256i)a, (__m256i)b); }
/// Whether a comparison holds in any lane.
CARAT_LANES bool any(I mask) { return _mm256_movemask_ps((__m256)mask) != 0; }
CARAT_LANES H multiply_high(H a, H b) { return (H)_mm256_mulhrs_epi16((__m256i)a, (__m256i)b); }
CARAT_LANES I add_products(I sum, H a, H b) { return sum + (I)_mm256_madd_epi16((__m256i)a, (__m256i)b); }
/// a b + c, rounded once.
CARAT_LANES F fused(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
CARAT_LANES G fused(G a, G b, G c) { return _mm256_fmadd_pd(a, b, c); }

}  // namespace
}  // namespace carat
