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
#include "kernels/generic/unpack_codebook.h"
//
#include "kernels/avx512/along_rows.h"
//
#include "kernels/avx512/rows_codebook.h"
CARAT_END_TARGET

namespace carat::avx512 {
void add_codebook_products(KernelTable& table) { set_products<Avx512Simd, 256>(table, AllEncodings{}); }
}  // namespace carat::avx512
