#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX2
#include "simd/avx2.h"
//
#include "kernels/generic/elementwise.h"
#include "kernels/generic/float_product.h"
//
#include "kernels/generic/attention.h"
CARAT_END_TARGET

namespace carat::avx2 {
void add_attention(KernelTable& table) { table.attention = &Attention<Avx2Simd>::run; }
}  // namespace carat::avx2
