#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX512
#include "simd/avx512.h"
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

namespace carat::avx512 {
void add_grouped_products(KernelTable& table) { set_grouped_products<Avx512Simd>(table, GroupedKinds{}); }
}  // namespace carat::avx512
