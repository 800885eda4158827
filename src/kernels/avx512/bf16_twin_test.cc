// Processors with vdpbf16ps and VBMI never run what AVX-512 without them does; compiled once more, the tests
// of the products run it there.
#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX512
#include "simd/avx512.h"
//
#include "simd/flush_mode.h"
//
#include "kernels/generic/panel.h"
//
#include "kernels/generic/bf16_product.h"
//
#include "kernels/generic/bf16_pairs.h"
CARAT_END_TARGET

namespace carat {

void add_codebook_twin(KernelTable& table);  // codebook_twin_test.cc
const KernelTable*
avx512_without_extensions();  // testing.h, whose inline functions have no place in such an object

const KernelTable* avx512_without_extensions() {
  const KernelTable* avx512 = kernel_table(Isa::avx512);
  if (avx512 == nullptr) return nullptr;
  static const KernelTable table = [avx512] {
    KernelTable t = *avx512;
    Bf16Products<Avx512Simd, PairsByFma<Avx512Simd, 2, 6>, WithoutSubnormals>::add_to(t);
    add_codebook_twin(t);
    return t;
  }();
  return &table;
}

}  // namespace carat
