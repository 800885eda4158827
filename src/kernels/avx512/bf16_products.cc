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

namespace carat::avx512 {
void add_bf16_instruction(KernelTable& table);  // bf16_instruction.cc

void add_bf16_products(KernelTable& table) {
  if (__builtin_cpu_supports("avx512bf16")) return add_bf16_instruction(table);
  Bf16Products<Avx512Simd, PairsByFma<Avx512Simd, 2, 6>, WithoutSubnormals>::add_to(table);
}
}  // namespace carat::avx512
