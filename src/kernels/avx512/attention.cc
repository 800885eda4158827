#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX512
#include "simd/avx512.h"
//
#include "kernels/generic/elementwise.h"
//
#include "kernels/generic/kv_f16.h"
//
#include "kernels/generic/kv_q8_0.h"
//
#include "kernels/generic/attention.h"
CARAT_END_TARGET

namespace carat::avx512 {
void add_attention(KernelTable& table) {
  Attention<Avx512Simd, KvF16<Avx512Simd>>::add_to(table);
  Attention<Avx512Simd, KvQ8_0<Avx512Simd>>::add_to(table);
}
}  // namespace carat::avx512
