#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX2
#include "simd/avx2.h"
//
#include "kernels/generic/panel.h"
//
#include "kernels/generic/quantized_panel.h"
//
#include "kernels/generic/quantized_product.h"
//
#include "kernels/generic/unpack_block256.h"
//
#include "kernels/generic/unpack_ternary.h"
CARAT_END_TARGET

namespace carat::avx2 {
void add_block256_products(KernelTable& table) { set_products<Avx2Simd, 256>(table, AllEncodings{}); }
}  // namespace carat::avx2
