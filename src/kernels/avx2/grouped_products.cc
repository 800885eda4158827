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
#include "kernels/generic/group_parameters.h"
//
#include "kernels/generic/unpack_grouped.h"
CARAT_END_TARGET

namespace carat::avx2 {
void add_grouped_products(KernelTable& table) { set_grouped_products<Avx2Simd>(table, GroupedKinds{}); }
}  // namespace carat::avx2
