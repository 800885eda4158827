// AVX2 with the dot products of AVX-VNNI: those of simd/avx512.h for 256 bits, in an encoding that processors
// without AVX-512 have. Included after simd/avx2.h, inside a target region, by kernels/avx_vnni only.

#ifndef CARAT_DOT_256
/// What adds the products of four neighbouring bytes; another encoding of it where a test says so.
#define CARAT_DOT_256 _mm256_dpbusd_avx_epi32
#endif

namespace carat {
namespace {

struct AvxVnniSimd : Avx2Simd {
  static constexpr bool kUnsignedDot = true;  // vpdpbusd adds into 32 bits and cannot saturate

  static CARAT_ALWAYS_INLINE I mul_16(I a, I b) {
    return {_mm256_mullo_epi16(a.low, b.low), _mm256_mullo_epi16(a.high, b.high)};
  }

  struct Dot {
    I sum;
  };
  template <int kLargest>
  static constexpr int kFold = 8;
  static CARAT_ALWAYS_INLINE Dot dot_start(int32_t x) { return {set_i(x)}; }
  template <bool kSigned>
  static CARAT_ALWAYS_INLINE void dot_step(Dot& dot, I codes, const int8_t* a) {
    static_assert(!kSigned);
    const __m256i x = _mm256_set1_epi32(load_32(a));
    dot.sum = {CARAT_DOT_256(dot.sum.low, codes.low, x), CARAT_DOT_256(dot.sum.high, codes.high, x)};
  }
  static CARAT_ALWAYS_INLINE void dot_fold(Dot&) {}
  static CARAT_ALWAYS_INLINE I dot_sum(const Dot& dot) { return dot.sum; }
};

}  // namespace
}  // namespace carat
