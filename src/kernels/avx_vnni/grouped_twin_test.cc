// The grouped integers of twin_test.cc.
#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX512
#define CARAT_DOT_256 _mm256_dpbusd_epi32
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

namespace carat {

void add_grouped_twin(KernelTable& table);  // twin_test.cc

void add_grouped_twin(KernelTable& table) { set_grouped_products<AvxVnniSimd>(table, GroupedKinds{}); }

}  // namespace carat
