// Processors with vdpbf16ps never run what AVX-512 without it does; compiled once more, the tests of the
// products run it there.
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

const KernelTable*
avx512_without_bf16();  // testing.h, whose inline functions have no place in such an object

const KernelTable* avx512_without_bf16() {
  const KernelTable* avx512 = kernel_table(Isa::avx512);
  if (avx512 == nullptr) return nullptr;
  static const KernelTable table = [avx512] {
    KernelTable t = *avx512;
    Bf16Products<Avx512Simd, PairsByFma<Avx512Simd, 2, 6>, WithoutSubnormals>::add_to(t);
    return t;
  }();
  return &table;
}

}  // namespace carat
