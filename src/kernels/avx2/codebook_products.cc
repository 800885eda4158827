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
#include "kernels/generic/unpack_codebook.h"
//
#include "kernels/generic/rows_by_four.h"
//
#include "kernels/avx2/rows_codebook.h"
CARAT_END_TARGET

namespace carat::avx2 {
void add_codebook_products(KernelTable& table) { set_products<Avx2Simd, 256>(table, AllEncodings{}); }
}  // namespace carat::avx2
