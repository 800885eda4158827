// Eight of sixteen rows in 256-bit registers, for AVX2 and, two of them to a register, AVX-512. Included
// inside a target region by simd/avx2.h and simd/avx512.h.

namespace carat {
namespace {

CARAT_ALWAYS_INLINE __m128i load_128(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
CARAT_ALWAYS_INLINE __m256i two_rows(const uint8_t* a, const uint8_t* b) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(load_128(a)), load_128(b), 1);
}
/// Rows r .. r + 7.
template <int r>
CARAT_ALWAYS_INLINE void eight_rows(const SixteenRows& rows, __m256i* out) {
  const __m256i x0 = two_rows(rows.row<r>(), rows.row<r + 4>());
  const __m256i x1 = two_rows(rows.row<r + 1>(), rows.row<r + 5>());
  const __m256i x2 = two_rows(rows.row<r + 2>(), rows.row<r + 6>());
  const __m256i x3 = two_rows(rows.row<r + 3>(), rows.row<r + 7>());
  const __m256i a = _mm256_unpacklo_epi32(x0, x1), b = _mm256_unpacklo_epi32(x2, x3);
  const __m256i c = _mm256_unpackhi_epi32(x0, x1), d = _mm256_unpackhi_epi32(x2, x3);
  out[0] = _mm256_unpacklo_epi64(a, b);
  out[1] = _mm256_unpackhi_epi64(a, b);
  out[2] = _mm256_unpacklo_epi64(c, d);
  out[3] = _mm256_unpackhi_epi64(c, d);
}
template <int r>
CARAT_ALWAYS_INLINE __m128i four_rows_32(const SixteenRows& rows) {
  __m128i y = _mm_cvtsi32_si128(load_32(rows.row<r>()));
  y = _mm_insert_epi32(y, load_32(rows.row<r + 1>()), 1);
  y = _mm_insert_epi32(y, load_32(rows.row<r + 2>()), 2);
  return _mm_insert_epi32(y, load_32(rows.row<r + 3>()), 3);
}

}  // namespace
}  // namespace carat
