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
#include "kernels/generic/rows_by_four.h"
//
#include "kernels/avx2/rows_codebook.h"
CARAT_END_TARGET

namespace carat::avx512 {
void add_codebook_permutes(KernelTable& table);  // codebook_permutes.cc

void add_codebook_products(KernelTable& table) {
  if (__builtin_cpu_supports("avx512vbmi")) return add_codebook_permutes(table);
  set_products<Avx512Simd, 256>(table, AllEncodings{});
}
}  // namespace carat::avx512
