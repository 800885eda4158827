// One token along the rows instead of across sixteen of them: whole registers are loaded in the order of the
// file and nothing is transposed. Sums are those of panels, bit for bit: integers, and one order of blocks.
//
// Included inside a target region, after generic/quantized_panel.h.

namespace carat {
namespace {

CARAT_ALWAYS_INLINE __m256i load_256(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
/// Sums over the four 128-bit parts.
CARAT_ALWAYS_INLINE __m128i sum_of_parts(__m512i x) {
  const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
/// The sums of the lanes of four.
CARAT_ALWAYS_INLINE __m128i sums_of_lanes(const __m512i* x) {
  const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(x[0], x[1]), _mm512_unpackhi_epi32(x[0], x[1]));
  const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(x[2], x[3]), _mm512_unpackhi_epi32(x[2], x[3]));
  return sum_of_parts(_mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)));
}
/// Words 4 i .. 4 i + 3 of the sixteen, eight times each: the scales of 64 columns for pairs of columns.
template <int i>
CARAT_ALWAYS_INLINE __m512i spread_words(__m256i scales) {
  alignas(64) static constexpr struct Index {
    uint16_t word[32] = {};
    constexpr Index() {
      for (int j = 0; j < 32; ++j) word[j] = static_cast<uint16_t>(4 * i + j / 8);
    }
  } kIndex;
  return _mm512_permutexvar_epi16(_mm512_load_si512(kIndex.word), _mm512_castsi256_si512(scales));
}

/// Blocks (of E, with 256 columns) must offer
///   sums(block, a, terms)   sixteen integers that add up to the sum of scale * level * a; terms: per 16
///                           columns kTerm times the sum of their a, which must fit 16 bits
///   d(block)                f16 bits
template <class E, class Blocks>
struct AlongRows {
  using Block = typename E::Block;

  /// Bytes that are asked for ahead of the block at hand.
  static constexpr int kAhead = 8192;

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
      sums[i] = Blocks::sums(b[i], a + 256 * column, terms + 16 * column);
      column = column + 1 == per_row ? 0 : column + 1;
      d[i] = Blocks::d(b[i]);
    });
    const __m128 factors =
        _mm_mul_ps(_mm_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(d))), _mm_set1_ps(E::kUnit));
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
      if constexpr (Blocks::kTerm != 0)
        for (int64_t i = 0; i < count; ++i) {
          const __m512i sum = _mm512_loadu_si512(activations.sums16 + 16 * (first + i));
          Avx512Simd::store_i16(_mm512_mullo_epi32(sum, _mm512_set1_epi32(Blocks::kTerm)), terms + 16 * i);
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
