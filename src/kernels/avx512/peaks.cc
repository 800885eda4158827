#include "kernels/generic/prelude.h"

CARAT_BEGIN_AVX512
#include "simd/avx512.h"

namespace carat {
namespace {
CARAT_ALWAYS_INLINE void hide(__m512i& x) { __asm__("" : "+v"(x)); }
}  // namespace
}  // namespace carat
//
#include "kernels/generic/peaks.h"
CARAT_END_TARGET

CARAT_BEGIN_TARGET(CARAT_AVX512_FEATURES ",avx512bf16")
namespace carat {
namespace {

double bf16(int64_t rounds, float* sink) {
  constexpr int kChains = 12;
  __m512 sum[kChains];
  CARAT_UNROLL
  for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  const auto a = reinterpret_cast<__m512bh>(_mm512_loadu_si512(sink));
  const auto b = reinterpret_cast<__m512bh>(_mm512_loadu_si512(sink + 16));
  for (int64_t r = 0; r < rounds; ++r) {
    CARAT_UNROLL
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_dpbf16_ps(sum[i], a, b);
  }
  __m512 total = sum[0];
  CARAT_UNROLL
  for (int i = 1; i < kChains; ++i) total = _mm512_add_ps(total, sum[i]);
  _mm512_storeu_ps(sink, total);
  return 2.0 * 32 * kChains * static_cast<double>(rounds);
}

}  // namespace
}  // namespace carat
CARAT_END_TARGET

namespace carat::avx512 {
void add_peaks(KernelTable& table) {
  Peaks<Avx512Simd, 12, 12>::add_to(table);
  if (__builtin_cpu_supports("avx512bf16")) table.peaks.bf16 = bf16;
}
}  // namespace carat::avx512
