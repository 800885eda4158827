#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX2
#include "simd/avx2.h"
//
#include "kernels/generic/elementwise.h"
//
#include "kernels/generic/kv_f16.h"
//
#include "kernels/generic/kv_q8_0.h"
//
#include "kernels/generic/attention.h"
CARAT_END_TARGET

namespace carat::avx2 {
void add_attention(KernelTable& table) {
  Attention<Avx2Simd, KvF16<Avx2Simd>>::add_to(table);
  Attention<Avx2Simd, KvQ8_0<Avx2Simd>>::add_to(table);
}
}  // namespace carat::avx2
