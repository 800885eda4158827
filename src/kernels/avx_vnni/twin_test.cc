// Processors with AVX-512 VNNI have the dot products of AVX-VNNI in another encoding, but mostly not in that
// of AVX-VNNI itself. A few encodings of each kind, compiled for them from the same source, let the tests of
// the products run there too.
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
#include "kernels/generic/unpack_block32.h"
//
#include "kernels/generic/unpack_block256.h"
//
#include "kernels/generic/unpack_codebook.h"
//
#include "kernels/generic/rows_by_four.h"
//
#include "kernels/avx2/rows_codebook.h"
CARAT_END_TARGET

namespace carat {

void add_grouped_twin(KernelTable& table);  // grouped_twin_test.cc
const KernelTable* avx_vnni_twin();  // testing.h, whose inline functions have no place in such an object

const KernelTable* avx_vnni_twin() {
  const KernelTable* avx2 = kernel_table(Isa::avx2);
  if (kernel_table(Isa::avx512) == nullptr || avx2 == nullptr) return nullptr;
  static const KernelTable table = [avx2] {
    KernelTable t = *avx2;
    t.isa = Isa::avx_vnni;
    set_products<AvxVnniSimd, 32>(t, EncodingList<Q4_0, Q5_1, Q8_0, IQ4_NL>{});
    set_products<AvxVnniSimd, 256>(t, EncodingList<Q2_K, Q4_K, Q6_K, IQ4_XS, IQ2_S, IQ3_XXS>{});
    add_grouped_twin(t);
    return t;
  }();
  return &table;
}

}  // namespace carat
