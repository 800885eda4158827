// The sixteen lanes of simd/portable.h in two 256-bit registers. Included inside a target region
// (simd/target.h) by kernels/avx2 only.

#include "simd/rows_256.h"

namespace carat {
namespace {

struct Avx2Simd {
  static constexpr bool kRegisters = true;
  static constexpr int kLanes = 16;
  static constexpr int kTokens = 4, kFloatTokens = 3, kAttentionRows = 6, kAttentionSums = 6;
  static constexpr bool kUnsignedDot = false;  // vpmaddubsw saturates where codes pass 127

  struct F {
    __m256 low, high;
  };
  struct I {
    __m256i low, high;
  };

  static CARAT_ALWAYS_INLINE F set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static CARAT_ALWAYS_INLINE F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static CARAT_ALWAYS_INLINE F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static CARAT_ALWAYS_INLINE void store(F x, float* p) {
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
  }
  /// All ones in the lanes below n.
  static CARAT_ALWAYS_INLINE I first_n(int64_t n) {
    const __m256i count = _mm256_set1_epi32(n <= 0 ? 0 : n >= 16 ? 16 : static_cast<int>(n));
    return {_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
            _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
  }
  static CARAT_ALWAYS_INLINE F load_n(const float* p, int64_t n) {
    const I mask = first_n(n);
    return {_mm256_maskload_ps(p, mask.low), _mm256_maskload_ps(p + 8, mask.high)};
  }
  static CARAT_ALWAYS_INLINE void store_n(F x, float* p, int64_t n) {
    const I mask = first_n(n);
    _mm256_maskstore_ps(p, mask.low, x.low);
    _mm256_maskstore_ps(p + 8, mask.high, x.high);
  }
  static CARAT_ALWAYS_INLINE F keep_range(F x, int64_t lo, int64_t hi, F fill) {
    const I below = first_n(lo), within = first_n(hi);
    const F mask =
        from_bits({_mm256_andnot_si256(below.low, within.low), _mm256_andnot_si256(below.high, within.high)});
    return {_mm256_blendv_ps(fill.low, x.low, mask.low), _mm256_blendv_ps(fill.high, x.high, mask.high)};
  }

#define CARAT_BOTH(name, type, op) \
  static CARAT_ALWAYS_INLINE type name(type a, type b) { return {op(a.low, b.low), op(a.high, b.high)}; }
  CARAT_BOTH(add, F, _mm256_add_ps)
  CARAT_BOTH(sub, F, _mm256_sub_ps)
  CARAT_BOTH(mul, F, _mm256_mul_ps)
  CARAT_BOTH(div, F, _mm256_div_ps)
  CARAT_BOTH(min, F, _mm256_min_ps)
  CARAT_BOTH(max, F, _mm256_max_ps)
  CARAT_BOTH(and_i, I, _mm256_and_si256)
  CARAT_BOTH(or_i, I, _mm256_or_si256)
  CARAT_BOTH(xor_i, I, _mm256_xor_si256)
  CARAT_BOTH(add_i, I, _mm256_add_epi32)
  CARAT_BOTH(sub_i, I, _mm256_sub_epi32)
  CARAT_BOTH(mul_i, I, _mm256_mullo_epi32)
  CARAT_BOTH(max_i, I, _mm256_max_epi32)
#undef CARAT_BOTH
  static CARAT_ALWAYS_INLINE F select_less(F a, F b, F yes, F no) {
    return {_mm256_blendv_ps(no.low, yes.low, _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
            _mm256_blendv_ps(no.high, yes.high, _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
  }
  static CARAT_ALWAYS_INLINE F mul_add(F a, F b, F c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }

  static CARAT_ALWAYS_INLINE __m256i load_256(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  static CARAT_ALWAYS_INLINE I set_i(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  static CARAT_ALWAYS_INLINE I load_i(const void* p) {
    return {load_256(p), load_256(static_cast<const char*>(p) + 32)};
  }
  static CARAT_ALWAYS_INLINE void store_i(I x, void* p) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), x.low);
    _mm256_storeu_si256(static_cast<__m256i*>(p) + 1, x.high);
  }
  template <int n>
  static CARAT_ALWAYS_INLINE I shift_left(I x) {
    return {_mm256_slli_epi32(x.low, n), _mm256_slli_epi32(x.high, n)};
  }
  template <int n>
  static CARAT_ALWAYS_INLINE I shift_right(I x) {
    return {_mm256_srli_epi32(x.low, n), _mm256_srli_epi32(x.high, n)};
  }
  template <int n>
  static CARAT_ALWAYS_INLINE I shift_right_signed(I x) {
    return {_mm256_srai_epi32(x.low, n), _mm256_srai_epi32(x.high, n)};
  }
  template <int j>
  static CARAT_ALWAYS_INLINE I byte(I x) {
    return and_i(shift_right<8 * j>(x), set_i(255));
  }
  static CARAT_ALWAYS_INLINE I or_masked(I a, I b, I mask) { return or_i(a, and_i(b, mask)); }
  static CARAT_ALWAYS_INLINE I middle(I a, I b) { return or_i(shift_right<16>(a), shift_left<16>(b)); }
  static CARAT_ALWAYS_INLINE I table_lookup(const int8_t* table, I index) {
    const __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
    return {_mm256_shuffle_epi8(t, index.low), _mm256_shuffle_epi8(t, index.high)};
  }

  static CARAT_ALWAYS_INLINE F convert(I x) {
    return {_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)};
  }
  static CARAT_ALWAYS_INLINE I round(F x) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_cvttps_epi32(_mm256_round_ps(x.low, kNearest)),
            _mm256_cvttps_epi32(_mm256_round_ps(x.high, kNearest))};
  }
  static CARAT_ALWAYS_INLINE I bits(F x) { return {_mm256_castps_si256(x.low), _mm256_castps_si256(x.high)}; }
  static CARAT_ALWAYS_INLINE F from_bits(I x) {
    return {_mm256_castsi256_ps(x.low), _mm256_castsi256_ps(x.high)};
  }

  static CARAT_ALWAYS_INLINE float sum_of_lanes(F x) {
    const __m256 a = _mm256_add_ps(x.low, x.high);
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
  }
  static CARAT_ALWAYS_INLINE float max_of_lanes(F x) {
    const __m256 a = _mm256_max_ps(x.low, x.high);
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
  }
  static CARAT_ALWAYS_INLINE int32_t sum_of_lanes_i(I x) {
    const __m256i a = _mm256_add_epi32(x.low, x.high);
    const __m128i b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    const __m128i c = _mm_add_epi32(b, _mm_unpackhi_epi64(b, b));
    return _mm_cvtsi128_si32(_mm_add_epi32(c, _mm_shuffle_epi32(c, 1)));
  }
  static CARAT_ALWAYS_INLINE int32_t max_of_lanes_i(I x) {
    const __m256i a = _mm256_max_epi32(x.low, x.high);
    const __m128i b = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    const __m128i c = _mm_max_epi32(b, _mm_unpackhi_epi64(b, b));
    return _mm_cvtsi128_si32(_mm_max_epi32(c, _mm_shuffle_epi32(c, 1)));
  }

  struct D {
    __m256d v[4];
  };
  static CARAT_ALWAYS_INLINE D zero_d() {
    const __m256d z = _mm256_setzero_pd();
    return {{z, z, z, z}};
  }
  static CARAT_ALWAYS_INLINE D add_d(D sum, F x) {
    return {{_mm256_add_pd(sum.v[0], _mm256_cvtps_pd(_mm256_castps256_ps128(x.low))),
             _mm256_add_pd(sum.v[1], _mm256_cvtps_pd(_mm256_extractf128_ps(x.low, 1))),
             _mm256_add_pd(sum.v[2], _mm256_cvtps_pd(_mm256_castps256_ps128(x.high))),
             _mm256_add_pd(sum.v[3], _mm256_cvtps_pd(_mm256_extractf128_ps(x.high, 1)))}};
  }
  static CARAT_ALWAYS_INLINE double sum_of_lanes_d(D x) {
    const __m256d b = _mm256_add_pd(_mm256_add_pd(x.v[0], x.v[2]), _mm256_add_pd(x.v[1], x.v[3]));
    const __m128d c = _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1));
    return _mm_cvtsd_f64(_mm_add_sd(c, _mm_unpackhi_pd(c, c)));
  }

  static CARAT_ALWAYS_INLINE F load_f16(const uint16_t* p) {
    return {_mm256_cvtph_ps(load_128(p)), _mm256_cvtph_ps(load_128(p + 8))};
  }
  static CARAT_ALWAYS_INLINE void store_f16(F x, uint16_t* p) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.low, kNearest));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.high, kNearest));
  }
  static CARAT_ALWAYS_INLINE F convert_low_f16(I x) {
    const __m256i low_halves = _mm256_set1_epi32(0xffff);
    const __m256i packed = _mm256_permute4x64_epi64(
        _mm256_packus_epi32(_mm256_and_si256(x.low, low_halves), _mm256_and_si256(x.high, low_halves)), 0xd8);
    return {_mm256_cvtph_ps(_mm256_castsi256_si128(packed)),
            _mm256_cvtph_ps(_mm256_extracti128_si256(packed, 1))};
  }
  static CARAT_ALWAYS_INLINE void convert_f16(I x, F& low, F& high) {
    low = convert_low_f16(x);
    high = convert_low_f16(shift_right<16>(x));
  }
  static CARAT_ALWAYS_INLINE void store_i8(I x, int8_t* p) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.low, x.high), 0xd8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  }

  static CARAT_ALWAYS_INLINE void store_i16(I x, int16_t* p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm256_permute4x64_epi64(_mm256_packs_epi32(x.low, x.high), 0xd8));
  }
  static CARAT_ALWAYS_INLINE I load_i8(const uint8_t* p) {
    return {_mm256_cvtepi8_epi16(load_128(p)), _mm256_cvtepi8_epi16(load_128(p + 16))};
  }
  static CARAT_ALWAYS_INLINE I dot_i16(I sum, I a, I b) {
    return add_i(sum, {_mm256_madd_epi16(a.low, b.low), _mm256_madd_epi16(a.high, b.high)});
  }

  static CARAT_ALWAYS_INLINE void load_rows(const SixteenRows& rows, I* out) {
    __m256i low[4], high[4];
    eight_rows<0>(rows, low);
    eight_rows<8>(rows, high);
    CARAT_UNROLL
    for (int j = 0; j < 4; ++j) out[j] = {low[j], high[j]};
  }
  static CARAT_ALWAYS_INLINE void load_rows_64(const SixteenRows& rows, I* out) {
    CARAT_UNROLL
    for (int i = 0; i < 4; ++i) load_rows(rows + 16 * i, out + 4 * i);
  }
  static CARAT_ALWAYS_INLINE I load_rows_32(const SixteenRows& rows) {
    return {_mm256_setr_m128i(four_rows_32<0>(rows), four_rows_32<4>(rows)),
            _mm256_setr_m128i(four_rows_32<8>(rows), four_rows_32<12>(rows))};
  }
  static CARAT_ALWAYS_INLINE __m256 restore_order(__m256 x) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xd8));
  }
  static CARAT_ALWAYS_INLINE void load_pairs(const float* p, F& even, F& odd) {
    const F a = load(p), b = load(p + 16);
    even = {restore_order(_mm256_shuffle_ps(a.low, a.high, 0x88)),
            restore_order(_mm256_shuffle_ps(b.low, b.high, 0x88))};
    odd = {restore_order(_mm256_shuffle_ps(a.low, a.high, 0xdd)),
           restore_order(_mm256_shuffle_ps(b.low, b.high, 0xdd))};
  }
  static CARAT_ALWAYS_INLINE F interleave(__m256 even, __m256 odd) {
    const __m256 a = _mm256_unpacklo_ps(even, odd), b = _mm256_unpackhi_ps(even, odd);
    return {_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31)};
  }
  static CARAT_ALWAYS_INLINE void store_pairs(F even, F odd, float* p) {
    store(interleave(even.low, odd.low), p);
    store(interleave(even.high, odd.high), p + 16);
  }

  // Products of two neighbouring columns are added in 16 bits by vpmaddubsw; up to kFold of those are added
  // in 16 bits too before they are widened.
  struct Dot {
    I partial, sum;
  };
  /// A step adds at most 2 * kLargest * 127 in magnitude, and 32767 is the limit.
  template <int kLargest>
  static constexpr int kFold = 32767 / (254 * kLargest) < 8 ? 32767 / (254 * kLargest) : 8;
  static CARAT_ALWAYS_INLINE Dot dot_start(int32_t x) { return {set_i(0), set_i(x)}; }
  template <bool kSigned>
  static CARAT_ALWAYS_INLINE void dot_step(Dot& dot, I codes, const int8_t* a) {
    const __m256i x = _mm256_set1_epi32(load_32(a));
    dot.partial = {_mm256_add_epi16(dot.partial.low, multiply<kSigned>(codes.low, x)),
                   _mm256_add_epi16(dot.partial.high, multiply<kSigned>(codes.high, x))};
  }
  /// A code of -128 becomes 128 by abs, and 2 * 128 * 127 still fits.
  template <bool kSigned>
  static CARAT_ALWAYS_INLINE __m256i multiply(__m256i codes, __m256i x) {
    if constexpr (kSigned)
      return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
    else
      return _mm256_maddubs_epi16(codes, x);
  }
  static CARAT_ALWAYS_INLINE void dot_fold(Dot& dot) {
    const __m256i one = _mm256_set1_epi16(1);
    dot.sum =
        add_i(dot.sum, {_mm256_madd_epi16(dot.partial.low, one), _mm256_madd_epi16(dot.partial.high, one)});
    dot.partial = set_i(0);
  }
  static CARAT_ALWAYS_INLINE I dot_sum(const Dot& dot) { return dot.sum; }
};

}  // namespace
}  // namespace carat
