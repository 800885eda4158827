// Q6_K and one token, along the rows instead of across sixteen of them.
//
// Panels read Q6_K at two thirds of what one Zen 4 thread can read: their loads of 16 bytes begin at any even
// byte, and every fourth spans two lines that have yet to come. Here whole registers are loaded in the order
// of the file and nothing is transposed, which reads 85 %. Encodings whose blocks are aligned (Q4_K, Q5_K) or
// small beside the arithmetic (Q2_K, Q3_K) have nothing to gain.
//
// Included inside a target region, after generic/quantized_panel.h.

namespace carat {
namespace {

template <>
struct ProductAlongRows<Avx512Simd, Q6_K> {
  using Block = Q6_K::Block;

  /// Bytes that are asked for ahead of the block at hand.
  static constexpr int kAhead = 8192;

  static CARAT_ALWAYS_INLINE __m256i load_256(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  /// Words 4 i .. 4 i + 3 of the sixteen, eight times each: the scales of 64 columns for pairs of columns.
  template <int i>
  static CARAT_ALWAYS_INLINE __m512i spread(__m256i scales) {
    alignas(64) static constexpr struct Index {
      uint16_t word[32] = {};
      constexpr Index() {
        for (int j = 0; j < 32; ++j) word[j] = static_cast<uint16_t>(4 * i + j / 8);
      }
    } kIndex;
    return _mm512_permutexvar_epi16(_mm512_load_si512(kIndex.word), _mm512_castsi256_si512(scales));
  }

  /// Sixteen integers that add up to the sum of scale * (code - 32) * a over a block. terms: per leaf -16
  /// times the sum of its a, which fits 16 bits. A pair of columns gives at most 2 * 63 * 127.
  static CARAT_ALWAYS_INLINE __m512i block_sums(const Block& b, const int8_t* a, const int16_t* terms) {
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
                                spread<2 * g>(scales));
      sum = _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(second, _mm512_loadu_si512(at + 64)),
                                spread<2 * g + 1>(scales));
    });
    return sum;
  }

  /// The sums of the lanes of four.
  static CARAT_ALWAYS_INLINE __m128i sums_of_lanes(const __m512i* x) {
    const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(x[0], x[1]), _mm512_unpackhi_epi32(x[0], x[1]));
    const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(x[2], x[3]), _mm512_unpackhi_epi32(x[2], x[3]));
    const __m512i c = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    const __m256i d = _mm256_add_epi32(_mm512_castsi512_si256(c), _mm512_extracti64x4_epi64(c, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(d), _mm256_extracti128_si256(d, 1));
  }

  /// parts[i] = d times the exact sum of block i, of n <= 4 blocks as they lie in memory; `column` is the
  /// first one's place among the `per_row` of a row, and is moved on. Four parts are written whatever n is.
  template <int n>
  static CARAT_ALWAYS_INLINE void multiply(const Block* b, const int8_t* a, const int16_t* terms,
                                           int64_t per_row, int64_t& column, float* parts) {
    const char* ahead = reinterpret_cast<const char*>(b) + kAhead;
    for (int64_t i = 0; i < n * int64_t{sizeof(Block)}; i += 64) __builtin_prefetch(ahead + i, 0, 2);
    __m512i sums[4] = {};
    alignas(16) uint16_t d[8] = {};
    unrolled<n>([&](auto i) CARAT_INLINE_LAMBDA {
      sums[i] = block_sums(b[i], a + 256 * column, terms + 16 * column);
      column = column + 1 == per_row ? 0 : column + 1;
      d[i] = b[i].d;
    });
    const __m128 factors = _mm_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(d)));
    _mm_storeu_ps(parts, _mm_mul_ps(_mm_cvtepi32_ps(sums_of_lanes(sums)), factors));
  }
  static void multiply_all(const Block* b, int64_t count, const int8_t* a, const int16_t* terms,
                           int64_t per_row, float* parts) {
    int64_t i = 0, column = 0;
    for (; i + 4 <= count; i += 4) multiply<4>(b + i, a, terms, per_row, column, parts + i);
    for (; i < count; ++i) multiply<1>(b + i, a, terms, per_row, column, parts + i);
  }

  /// y[r] for activations rounded in groups of 256.
  static void run(const WeightRows& w, const RoundedActivations& activations, float* y) {
    constexpr int64_t kMost = 64;  // blocks of a row whose terms are at hand
    int16_t terms[16 * kMost];
    float parts[kPanelRows * kMost + 4];
    const int64_t blocks = w.columns / 256;
    for (int r = 0; r < w.rows; ++r) y[r] = 0;
    for (int64_t first = 0; first < blocks; first += kMost) {
      const int64_t count = blocks - first < kMost ? blocks - first : kMost;
      for (int64_t i = 0; i < count; ++i) {
        const __m512i sum = _mm512_loadu_si512(activations.sums16 + 16 * (first + i));
        Avx512Simd::store_i16(_mm512_mullo_epi32(sum, _mm512_set1_epi32(-16)), terms + 16 * i);
      }
      // Rows that follow each other without a gap are one run of blocks: few columns, too, fill four at once.
      const bool one_run = count * int64_t{sizeof(Block)} == w.row_bytes;
      const int8_t* a = activations.codes + 256 * first;
      for (int r = 0; r < (one_run ? 1 : w.rows); ++r)
        multiply_all(reinterpret_cast<const Block*>(w.data + r * w.row_bytes) + first,
                     one_run ? w.rows * count : count, a, terms, count, parts + r * count);
      const float* scales = activations.scales + 8 * first;
      for (int r = 0; r < w.rows; ++r)
        for (int64_t i = 0; i < count; ++i)
          y[r] = __builtin_fmaf(parts[r * count + i], scales[8 * i + 7], y[r]);
    }
  }
};

}  // namespace
}  // namespace carat
