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
#include "kernels/generic/group_parameters.h"
//
#include "kernels/generic/unpack_grouped.h"
CARAT_END_TARGET

namespace carat::avx_vnni {
void add_grouped_products(KernelTable& table) { set_grouped_products<AvxVnniSimd>(table, GroupedKinds{}); }
}  // namespace carat::avx_vnni
