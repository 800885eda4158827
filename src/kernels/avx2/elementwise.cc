#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX2
#include "simd/avx2.h"
//
#include "kernels/generic/elementwise.h"
CARAT_END_TARGET

namespace carat::avx2 {
void add_elementwise(KernelTable& table) { Elementwise<Avx2Simd>::add_to(table); }
}  // namespace carat::avx2
