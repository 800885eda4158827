#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX2
#include "simd/avx2.h"
//
#include "kernels/generic/panel.h"
//
#include "kernels/generic/float_product.h"
CARAT_END_TARGET

namespace carat::avx2 {
void add_float_products(KernelTable& table) { FloatProducts<Avx2Simd>::add_to(table); }
}  // namespace carat::avx2
