#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX_VNNI
#include "simd/avx2.h"
//
#include "simd/avx_vnni.h"

namespace carat {
namespace {
CARAT_ALWAYS_INLINE void hide(AvxVnniSimd::I& x) { __asm__("" : "+x"(x.low), "+x"(x.high)); }
}  // namespace
}  // namespace carat
//
#include "kernels/generic/peaks.h"
CARAT_END_TARGET

namespace carat::avx_vnni {
void add_peaks(KernelTable& table) { Peaks<AvxVnniSimd, 5, 4>::add_to(table); }
}  // namespace carat::avx_vnni
