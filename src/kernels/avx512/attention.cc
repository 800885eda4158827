#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX512
#include "simd/avx512.h"
//
#include "kernels/generic/elementwise.h"
#include "kernels/generic/float_product.h"
//
#include "kernels/generic/attention.h"
CARAT_END_TARGET

namespace carat::avx512 {
void add_attention(KernelTable& table) { table.attention = &Attention<Avx512Simd>::run; }
}  // namespace carat::avx512
