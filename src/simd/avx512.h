// The sixteen lanes of simd/portable.h in one 512-bit register. Included inside a target region
// (simd/target.h) by kernels/avx512 only.

#include "simd/rows_256.h"

namespace carat {
namespace {

struct Avx512Simd {
  static constexpr bool kRegisters = true;
  static constexpr int kLanes = 16;
  static constexpr int kTokens = 8, kFloatTokens = 8, kAttentionRows = 8, kAttentionSums = 24;
  static constexpr bool kUnsignedDot = true;  // vpdpbusd adds into 32 bits and cannot saturate

  using F = __m512;
  using I = __m512i;

  static CARAT_ALWAYS_INLINE F set(float x) { return _mm512_set1_ps(x); }
  static CARAT_ALWAYS_INLINE F zero() { return _mm512_setzero_ps(); }
  static CARAT_ALWAYS_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
  static CARAT_ALWAYS_INLINE void store(F x, float* p) { _mm512_storeu_ps(p, x); }
  static CARAT_ALWAYS_INLINE __mmask16 first_n(int64_t n) {
    return static_cast<__mmask16>(n <= 0 ? 0u : n >= 16 ? 0xffffu : (1u << n) - 1u);
  }
  static CARAT_ALWAYS_INLINE F load_n(const float* p, int64_t n) {
    return _mm512_maskz_loadu_ps(first_n(n), p);
  }
  static CARAT_ALWAYS_INLINE void store_n(F x, float* p, int64_t n) {
    _mm512_mask_storeu_ps(p, first_n(n), x);
  }
  static CARAT_ALWAYS_INLINE F keep_range(F x, int64_t lo, int64_t hi, F fill) {
    return _mm512_mask_blend_ps(static_cast<__mmask16>(first_n(hi) & ~first_n(lo)), fill, x);
  }

  static CARAT_ALWAYS_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  static CARAT_ALWAYS_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static CARAT_ALWAYS_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static CARAT_ALWAYS_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
  static CARAT_ALWAYS_INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
  static CARAT_ALWAYS_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
  static CARAT_ALWAYS_INLINE F select_less(F a, F b, F yes, F no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }
  static CARAT_ALWAYS_INLINE F mul_add(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static CARAT_ALWAYS_INLINE I and_i(I a, I b) { return _mm512_and_si512(a, b); }
  static CARAT_ALWAYS_INLINE I or_i(I a, I b) { return _mm512_or_si512(a, b); }
  static CARAT_ALWAYS_INLINE I xor_i(I a, I b) { return _mm512_xor_si512(a, b); }
  static CARAT_ALWAYS_INLINE I add_i(I a, I b) { return _mm512_add_epi32(a, b); }
  static CARAT_ALWAYS_INLINE I sub_i(I a, I b) { return _mm512_sub_epi32(a, b); }
  static CARAT_ALWAYS_INLINE I mul_i(I a, I b) { return _mm512_mullo_epi32(a, b); }
  static CARAT_ALWAYS_INLINE I mul_16(I a, I b) { return _mm512_mullo_epi16(a, b); }
  static CARAT_ALWAYS_INLINE I max_i(I a, I b) { return _mm512_max_epi32(a, b); }

  static CARAT_ALWAYS_INLINE I set_i(int32_t x) { return _mm512_set1_epi32(x); }
  static CARAT_ALWAYS_INLINE I load_i(const void* p) { return _mm512_loadu_si512(p); }
  static CARAT_ALWAYS_INLINE void store_i(I x, void* p) { _mm512_storeu_si512(p, x); }
  template <int n>
  static CARAT_ALWAYS_INLINE I shift_left(I x) {
    return _mm512_slli_epi32(x, n);
  }
  template <int n>
  static CARAT_ALWAYS_INLINE I shift_right(I x) {
    return _mm512_srli_epi32(x, n);
  }
  template <int n>
  static CARAT_ALWAYS_INLINE I shift_right_signed(I x) {
    return _mm512_srai_epi32(x, n);
  }
  template <int j>
  static CARAT_ALWAYS_INLINE I byte(I x) {
    return _mm512_shuffle_epi8(
        x, _mm512_broadcast_i32x4(_mm_setr_epi32(
               static_cast<int>(0xffffff00u) | j, static_cast<int>(0xffffff00u) | (4 + j),
               static_cast<int>(0xffffff00u) | (8 + j), static_cast<int>(0xffffff00u) | (12 + j))));
  }
  static CARAT_ALWAYS_INLINE I or_masked(I a, I b, I mask) {
    return _mm512_ternarylogic_epi32(a, b, mask, 0xf8);
  }
  static CARAT_ALWAYS_INLINE I middle(I a, I b) {
    return _mm512_rol_epi32(_mm512_mask_blend_epi16(0x55555555u, a, b), 16);
  }
  static CARAT_ALWAYS_INLINE I table_lookup(const int8_t* table, I index) {
    const __m128i t = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), index);
  }

  static CARAT_ALWAYS_INLINE F convert(I x) { return _mm512_cvtepi32_ps(x); }
  static CARAT_ALWAYS_INLINE I round(F x) {
    return _mm512_cvt_roundps_epi32(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static CARAT_ALWAYS_INLINE I bits(F x) { return _mm512_castps_si512(x); }
  static CARAT_ALWAYS_INLINE F from_bits(I x) { return _mm512_castsi512_ps(x); }

  static CARAT_ALWAYS_INLINE __m256 upper(F x) { return _mm512_extractf32x8_ps(x, 1); }
  static CARAT_ALWAYS_INLINE __m256 lower(F x) { return _mm512_castps512_ps256(x); }
  static CARAT_ALWAYS_INLINE float sum_of_lanes(F x) {
    const __m256 a = _mm256_add_ps(lower(x), upper(x));
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
  }
  static CARAT_ALWAYS_INLINE float max_of_lanes(F x) {
    const __m256 a = _mm256_max_ps(lower(x), upper(x));
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
  }
  static CARAT_ALWAYS_INLINE int32_t sum_of_lanes_i(I x) { return _mm512_reduce_add_epi32(x); }
  static CARAT_ALWAYS_INLINE int32_t max_of_lanes_i(I x) { return _mm512_reduce_max_epi32(x); }

  struct D {
    __m512d low, high;
  };
  static CARAT_ALWAYS_INLINE D zero_d() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
  static CARAT_ALWAYS_INLINE D add_d(D sum, F x) {
    return {_mm512_add_pd(sum.low, _mm512_cvtps_pd(lower(x))),
            _mm512_add_pd(sum.high, _mm512_cvtps_pd(upper(x)))};
  }
  static CARAT_ALWAYS_INLINE double sum_of_lanes_d(D x) {
    const __m512d a = _mm512_add_pd(x.low, x.high);
    const __m256d b = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    const __m128d c = _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1));
    return _mm_cvtsd_f64(_mm_add_sd(c, _mm_unpackhi_pd(c, c)));
  }

  static CARAT_ALWAYS_INLINE F load_f16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static CARAT_ALWAYS_INLINE void store_f16(F x, uint16_t* p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static CARAT_ALWAYS_INLINE F convert_low_f16(I x) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)); }
  static CARAT_ALWAYS_INLINE void convert_f16(I x, F& low, F& high) {
    alignas(64) static constexpr uint16_t kLowThenHigh[32] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20,
                                                              22, 24, 26, 28, 30, 1,  3,  5,  7,  9,  11,
                                                              13, 15, 17, 19, 21, 23, 25, 27, 29, 31};
    const I halves = _mm512_permutexvar_epi16(load_i(kLowThenHigh), x);
    low = _mm512_cvtph_ps(_mm512_castsi512_si256(halves));
    high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1));
  }
  static CARAT_ALWAYS_INLINE void store_i8(I x, int8_t* p) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x));
  }

  static CARAT_ALWAYS_INLINE void store_i16(I x, int16_t* p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(x));
  }
  static CARAT_ALWAYS_INLINE I load_i8(const uint8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static CARAT_ALWAYS_INLINE I dot_i16(I sum, I a, I b) { return _mm512_dpwssd_epi32(sum, a, b); }

  static CARAT_ALWAYS_INLINE void load_rows(const SixteenRows& rows, I* out) {
    // Halves of eight rows first: Zen 4 loads 16 bytes into a quarter of a 512-bit register once per cycle,
    // into half of a 256-bit one twice.
    __m256i low[4], high[4];
    eight_rows<0>(rows, low);
    eight_rows<8>(rows, high);
    CARAT_UNROLL
    for (int j = 0; j < 4; ++j) out[j] = _mm512_inserti64x4(_mm512_castsi256_si512(low[j]), high[j], 1);
  }
  /// Each row is read once, 64 bytes at a time: rows of floats often lie a multiple of 4,096 bytes apart, and
  /// of sixteen lines that fall into one set of the first-level cache, eight are gone before the next piece.
  static CARAT_ALWAYS_INLINE void load_rows_64(const SixteenRows& rows, I* out) {
    I x[16];
    load_each<0>(rows, x);
    CARAT_UNROLL
    for (int i = 0; i < 16; i += 4) {  // within every 128 bits: four rows by four dwords
      const I a = _mm512_unpacklo_epi32(x[i], x[i + 1]), b = _mm512_unpacklo_epi32(x[i + 2], x[i + 3]);
      const I c = _mm512_unpackhi_epi32(x[i], x[i + 1]), d = _mm512_unpackhi_epi32(x[i + 2], x[i + 3]);
      x[i] = _mm512_unpacklo_epi64(a, b);
      x[i + 1] = _mm512_unpackhi_epi64(a, b);
      x[i + 2] = _mm512_unpacklo_epi64(c, d);
      x[i + 3] = _mm512_unpackhi_epi64(c, d);
    }
    CARAT_UNROLL
    for (int j = 0; j < 4; ++j) {  // the 128-bit parts of four such
      const I a = _mm512_shuffle_i32x4(x[j], x[4 + j], 0x44), b = _mm512_shuffle_i32x4(x[j], x[4 + j], 0xee);
      const I c = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0x44);
      const I d = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0xee);
      out[j] = _mm512_shuffle_i32x4(a, c, 0x88);
      out[4 + j] = _mm512_shuffle_i32x4(a, c, 0xdd);
      out[8 + j] = _mm512_shuffle_i32x4(b, d, 0x88);
      out[12 + j] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
  }
  template <int r>
  static CARAT_ALWAYS_INLINE void load_each(const SixteenRows& rows, I* out) {
    out[r] = load_i(rows.row<r>());
    if constexpr (r < 15) load_each<r + 1>(rows, out);
  }
  static CARAT_ALWAYS_INLINE I load_rows_32(const SixteenRows& rows) {
    I y = _mm512_castsi128_si512(four_rows_32<0>(rows));
    y = _mm512_inserti32x4(y, four_rows_32<4>(rows), 1);
    y = _mm512_inserti32x4(y, four_rows_32<8>(rows), 2);
    return _mm512_inserti32x4(y, four_rows_32<12>(rows), 3);
  }
  static CARAT_ALWAYS_INLINE void load_pairs(const float* p, F& even, F& odd) {
    const I index = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const F a = load(p), b = load(p + 16);
    even = _mm512_permutex2var_ps(a, index, b);
    odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(index, set_i(1)), b);
  }
  static CARAT_ALWAYS_INLINE void store_pairs(F even, F odd, float* p) {
    const I index = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    store(_mm512_permutex2var_ps(even, index, odd), p);
    store(_mm512_permutex2var_ps(even, _mm512_add_epi32(index, set_i(8)), odd), p + 16);
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
    // The intrinsic with set_i(load_32(a)) becomes two instructions; GCC 12 does not fold the broadcast.
    asm("vpdpbusd %2%{1to16%}, %1, %0"
        : "+v"(dot.sum)
        : "v"(codes), "m"(*reinterpret_cast<const int32_t*>(a)));
  }
  static CARAT_ALWAYS_INLINE void dot_fold(Dot&) {}
  static CARAT_ALWAYS_INLINE I dot_sum(const Dot& dot) { return dot.sum; }
};

}  // namespace
}  // namespace carat
