#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX2
#include "simd/avx2.h"

namespace carat {
namespace {
CARAT_ALWAYS_INLINE void hide(Avx2Simd::I& x) { __asm__("" : "+x"(x.low), "+x"(x.high)); }
}  // namespace
}  // namespace carat
//
#include "kernels/generic/peaks.h"
CARAT_END_TARGET

namespace carat::avx2 {
void add_peaks(KernelTable& table) { Peaks<Avx2Simd, 5, 2>::add_to(table); }
}  // namespace carat::avx2
