// Q6_K and one token along the rows (along_rows.h).
//
// Panels read Q6_K at two thirds of what one Zen 4 thread can read: their loads of 16 bytes begin at any even
// byte, and every fourth spans two lines that have yet to come. Along the rows 85 % is read. Encodings whose
// blocks are aligned (Q4_K, Q5_K) or small beside the arithmetic (Q2_K, Q3_K) have nothing to gain.
//
// Included inside a target region, after avx512/along_rows.h.

namespace carat {
namespace {

struct Q6KBlocks {
  using Block = Q6_K::Block;

  static constexpr int kTerm = -16;
  static CARAT_ALWAYS_INLINE uint16_t d(const Block& b) { return b.d; }

  /// Sixteen integers that add up to the sum of scale * (code - 32) * a over a block. terms: per leaf -16
  /// times the sum of its a, which fits 16 bits. A pair of columns gives at most 2 * 63 * 127.
  static CARAT_ALWAYS_INLINE __m512i sums(const Block& b, const int8_t* a, const int16_t* terms) {
    const __m512i nibble = _mm512_set1_epi8(0x0f), pair = _mm512_set1_epi8(0x30);
    const __m512i up = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
    const __m512i down = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1);
    const __m256i scales = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b.scales)));
    __m512i sum =
        _mm512_zextsi256_si512(_mm256_madd_epi16(_mm256_add_epi16(scales, scales), load_256(terms)));
    unrolled<2>([&](auto g) CARAT_INLINE_LAMBDA {
      const __m512i low = _mm512_loadu_si512(b.ql + 64 * g);
      const __m512i high = _mm512_broadcast_i64x4(load_256(b.qh + 32 * g));  // bits of columns j and j + 32
      const __m512i first =
          _mm512_ternarylogic_epi32(_mm512_and_si512(low, nibble), _mm512_sllv_epi16(high, up), pair, 0xf8);
      const __m512i second = _mm512_ternarylogic_epi32(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble),
                                                       _mm512_srlv_epi16(high, down), pair, 0xf8);
      const int8_t* at = a + 128 * g;
      sum = _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(first, _mm512_loadu_si512(at)),
                                spread_words<2 * g>(scales));
      sum = _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(second, _mm512_loadu_si512(at + 64)),
                                spread_words<2 * g + 1>(scales));
    });
    return sum;
  }
};

template <>
struct ProductAlongRows<Avx512Simd, Q6_K> : AlongRows<Q6_K, Q6KBlocks> {};

}  // namespace
}  // namespace carat
