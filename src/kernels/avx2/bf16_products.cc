#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX2
#include "simd/avx2.h"
//
#include "simd/flush_mode.h"
//
#include "kernels/generic/panel.h"
//
#include "kernels/generic/bf16_product.h"
//
#include "kernels/generic/bf16_pairs.h"
CARAT_END_TARGET

namespace carat::avx2 {
void add_bf16_products(KernelTable& table) {
  Bf16Products<Avx2Simd, PairsByFma<Avx2Simd, 1, 4>, WithoutSubnormals>::add_to(table);
}
}  // namespace carat::avx2
