#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX_VNNI
#include "simd/avx2.h"
//
#include "simd/avx_vnni.h"
//
#include "kernels/generic/panel.h"
//
#include "kernels/generic/quantized_panel.h"
//
#include "kernels/generic/quantized_product.h"
//
#include "kernels/generic/unpack_block32.h"
//
#include "kernels/generic/unpack_e2m1.h"
CARAT_END_TARGET

namespace carat::avx_vnni {
void add_block32_products(KernelTable& table) { set_products<AvxVnniSimd, 32>(table, AllEncodings{}); }
}  // namespace carat::avx_vnni
