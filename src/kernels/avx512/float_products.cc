#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX512
#include "simd/avx512.h"
//
#include "kernels/generic/panel.h"
//
#include "kernels/generic/float_product.h"
CARAT_END_TARGET

namespace carat::avx512 {
void add_float_products(KernelTable& table) { FloatProducts<Avx512Simd>::add_to(table); }
}  // namespace carat::avx512
