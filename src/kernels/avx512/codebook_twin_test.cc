// The codebook encodings of bf16_twin_test.cc: processors with VBMI never run the loads that others need.
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

namespace carat {

void add_codebook_twin(KernelTable& table);  // bf16_twin_test.cc

void add_codebook_twin(KernelTable& table) {
  set_products<Avx512Simd, 256>(table, EncodingList<IQ1_M, IQ2_XXS, IQ2_S, IQ3_XXS, IQ3_S>{});
}

}  // namespace carat
