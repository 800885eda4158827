#include "kernels/generic/prelude.h"

CARAT_BEGIN_TARGET(CARAT_AVX512_FEATURES ",avx512vbmi")
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
#include "kernels/generic/rows_by_four.h"
//
#include "kernels/avx512/permuted_tables.h"
//
#include "kernels/avx512/rows_iq1.h"
//
#include "kernels/avx512/rows_iq2.h"
//
#include "kernels/avx512/rows_iq3.h"
CARAT_END_TARGET

namespace carat::avx512 {
void add_codebook_permutes(KernelTable& table);

void add_codebook_permutes(KernelTable& table) { set_products<Avx512Simd, 256>(table, AllEncodings{}); }
}  // namespace carat::avx512
