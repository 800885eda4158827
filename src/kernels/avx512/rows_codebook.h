// Codebook encodings and one token along the rows (along_rows.h): levels come from tables, eight or sixteen
// loads for 64 columns, and the signs of 64 columns, as one mask, go to the activations. What is loaded that
// way has no need of a transposed copy: 3 times the speed of panels, bound by those loads, not by memory.
// Processors with VBMI do better (rows_by_four.h).
//
// Included inside a target region, after avx512/along_rows.h and generic/unpack_codebook.h.

namespace carat {
namespace {

/// The signs of eight columns in each byte, from seven of them: the number of negative ones is even.
CARAT_ALWAYS_INLINE __m256i with_eighth_sign(__m256i seven) {
  const __m256i odd = _mm256_broadcastsi128_si256(  // 0x80 for nibbles with an odd number of bits
      _mm_setr_epi8(0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0));
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i low = _mm256_shuffle_epi8(odd, _mm256_and_si256(seven, nibble));
  const __m256i high = _mm256_shuffle_epi8(odd, _mm256_and_si256(_mm256_srli_epi16(seven, 4), nibble));
  return _mm256_or_si256(seven, _mm256_xor_si256(low, high));
}
/// The same from four times seven bits in the lower 28 of each dword.
CARAT_ALWAYS_INLINE __m256i even_signs_of(__m256i rest) {
  const auto field = [&](__m256i x, int mask)
                         CARAT_INLINE_LAMBDA { return _mm256_and_si256(x, _mm256_set1_epi32(mask)); };
  const __m256i low = _mm256_or_si256(field(rest, 0x7f), field(_mm256_slli_epi32(rest, 1), 0x7f00));
  const __m256i high = _mm256_or_si256(field(_mm256_slli_epi32(rest, 2), 0x7f0000),
                                       field(_mm256_slli_epi32(rest, 3), 0x7f000000));
  return with_eighth_sign(_mm256_or_si256(low, high));
}

/// Odd integers from the scales as stored.
CARAT_ALWAYS_INLINE __m256i odd_words(__m256i words) {
  return _mm256_add_epi16(_mm256_add_epi16(words, words), _mm256_set1_epi16(1));
}
/// Sixteen of them, one for each 16 columns, from 16 nibbles.
CARAT_ALWAYS_INLINE __m256i words_of_nibbles(const uint8_t* bytes) {
  uint64_t x;
  __builtin_memcpy(&x, bytes, 8);
  const __m128i packed = _mm_cvtsi64_si128(static_cast<long long>(x));
  const __m128i low = _mm_and_si128(packed, _mm_set1_epi8(15));
  const __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), _mm_set1_epi8(15));
  return odd_words(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(low, high)));
}
/// The same for leaves of 32 columns, from eight dwords.
CARAT_ALWAYS_INLINE __m256i words_of_leaves(__m256i eight) {
  return odd_words(_mm256_or_si256(eight, _mm256_slli_epi32(eight, 16)));
}

/// What is read of a block of E: d, scale words and signs, and entry<k> of vector k.
template <class E>
struct Parts;

template <>
struct Parts<IQ2_XXS> {
  const IQ2_XXS::Block& b;
  __m256i rest() const {
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 1, 3, 5, 7, 9, 11, 13, 15);
    return _mm512_castsi512_si256(_mm512_permutexvar_epi32(odd, _mm512_loadu_si512(b.qs)));
  }
  CARAT_ALWAYS_INLINE __m256i scales() const { return words_of_leaves(_mm256_srli_epi32(rest(), 28)); }
  CARAT_ALWAYS_INLINE __m256i signs() const { return even_signs_of(rest()); }
  template <int k>
  CARAT_ALWAYS_INLINE uint32_t entry() const {
    return b.qs[k / 4][0] >> (8 * (k % 4)) & 255;
  }
};
template <>
struct Parts<IQ2_XS> {
  const IQ2_XS::Block& b;
  CARAT_ALWAYS_INLINE __m256i scales() const { return words_of_nibbles(b.scales); }
  CARAT_ALWAYS_INLINE __m256i signs() const {
    return with_eighth_sign(_mm512_cvtepi16_epi8(_mm512_srli_epi16(_mm512_loadu_si512(b.qs), 9)));
  }
  template <int k>
  CARAT_ALWAYS_INLINE uint32_t entry() const {
    return b.qs[k] & 511;
  }
};
template <>
struct Parts<IQ2_S> {
  const IQ2_S::Block& b;
  CARAT_ALWAYS_INLINE __m256i scales() const { return words_of_nibbles(b.scales); }
  CARAT_ALWAYS_INLINE __m256i signs() const { return load_256(b.signs); }
  template <int k>
  CARAT_ALWAYS_INLINE uint32_t entry() const {
    return b.qs[k] | (static_cast<uint32_t>(b.qh[k / 4]) << (8 - 2 * (k % 4)) & 0x300);
  }
};
template <>
struct Parts<IQ3_XXS> {
  const IQ3_XXS::Block& b;
  CARAT_ALWAYS_INLINE __m256i scales() const {
    return words_of_leaves(_mm256_srli_epi32(load_256(b.rest), 28));
  }
  CARAT_ALWAYS_INLINE __m256i signs() const { return even_signs_of(load_256(b.rest)); }
  template <int k>
  CARAT_ALWAYS_INLINE uint32_t entry() const {
    return b.qs[k];
  }
};
template <>
struct Parts<IQ3_S> {
  const IQ3_S::Block& b;
  CARAT_ALWAYS_INLINE __m256i scales() const {
    uint32_t x;
    __builtin_memcpy(&x, b.scales, 4);
    const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    return words_of_leaves(_mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(x)), shifts),
                                            _mm256_set1_epi32(15)));
  }
  CARAT_ALWAYS_INLINE __m256i signs() const { return load_256(b.signs); }
  template <int k>
  CARAT_ALWAYS_INLINE uint32_t entry() const {
    return b.qs[k] | (static_cast<uint32_t>(b.qh[k / 8]) << (8 - k % 8) & 256);
  }
};
template <>
struct Parts<IQ1_S> {
  const IQ1_S::Block& b;
  CARAT_ALWAYS_INLINE __m256i scales() const {
    const __m256i h = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b.qh)));
    return words_of_leaves(_mm256_and_si256(_mm256_srli_epi32(h, 12), _mm256_set1_epi32(7)));
  }
  template <int k>
  CARAT_ALWAYS_INLINE uint32_t entry() const {
    return b.qs[k] | (static_cast<uint32_t>(b.qh[k / 4]) >> (3 * (k % 4)) & 7) << 8;
  }
  template <int k>
  CARAT_ALWAYS_INLINE uint32_t down() const {
    return b.qh[k / 4] >> 15;
  }
};
template <>
struct Parts<IQ1_M> {
  const IQ1_M::Block& b;
  CARAT_ALWAYS_INLINE __m256i scales() const {
    uint64_t x;
    __builtin_memcpy(&x, b.scales, 8);
    const __m256i words =
        _mm256_permutexvar_epi16(_mm256_setr_epi16(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
                                 _mm256_castsi128_si256(_mm_cvtsi64_si128(static_cast<long long>(x))));
    const __m256i shifts = _mm256_setr_epi16(0, 3, 6, 9, 0, 3, 6, 9, 0, 3, 6, 9, 0, 3, 6, 9);
    return odd_words(_mm256_and_si256(_mm256_srlv_epi16(words, shifts), _mm256_set1_epi16(7)));
  }
  template <int k>
  CARAT_ALWAYS_INLINE uint32_t entry() const {
    return b.qs[k] | (static_cast<uint32_t>(b.qh[k / 2]) << (8 - 4 * (k % 2)) & 0x700);
  }
  template <int k>
  CARAT_ALWAYS_INLINE uint32_t down() const {
    return b.qh[k / 2] >> (3 + 4 * (k % 2)) & 1;
  }
};

template <class E>
struct CodebookBlocks {
  using Block = typename E::Block;
  static constexpr bool kShift = E::kSigns == Signs::shift;
  /// Codes of shifted levels have 16 added, which the terms take back.
  static constexpr int kTerm = kShift ? E::level(0) : 0;

  static CARAT_ALWAYS_INLINE uint16_t d(const Block& b) {
    if constexpr (std::is_same_v<E, IQ1_M>) {
      uint32_t d = 0;
      for (int w = 0; w < 4; ++w) d |= static_cast<uint32_t>(b.scales[w]) >> 12 << (4 * w);
      return static_cast<uint16_t>(d);
    } else {
      return b.d;
    }
  }

  /// The codes of columns 64 g .. 64 g + 63.
  template <int g>
  static CARAT_ALWAYS_INLINE __m512i codes(const Parts<E>& parts) {
    alignas(64) typename VectorCodes<E>::Word words[64 / E::kVector];
    unrolled<64 / E::kVector>([&](auto k) CARAT_INLINE_LAMBDA {
      constexpr int vector = g * (64 / E::kVector) + k;
      if constexpr (kShift)
        words[k] = vector_codes<E>(parts.template entry<vector>(), parts.template down<vector>());
      else
        words[k] = kVectorCodes<E>.entry[parts.template entry<vector>()];
    });
    if constexpr (E::kVector == 8)
      return _mm512_set_epi64(static_cast<long long>(words[7]), static_cast<long long>(words[6]),
                              static_cast<long long>(words[5]), static_cast<long long>(words[4]),
                              static_cast<long long>(words[3]), static_cast<long long>(words[2]),
                              static_cast<long long>(words[1]), static_cast<long long>(words[0]));
    else
      return _mm512_set_epi32(
          static_cast<int>(words[15]), static_cast<int>(words[14]), static_cast<int>(words[13]),
          static_cast<int>(words[12]), static_cast<int>(words[11]), static_cast<int>(words[10]),
          static_cast<int>(words[9]), static_cast<int>(words[8]), static_cast<int>(words[7]),
          static_cast<int>(words[6]), static_cast<int>(words[5]), static_cast<int>(words[4]),
          static_cast<int>(words[3]), static_cast<int>(words[2]), static_cast<int>(words[1]),
          static_cast<int>(words[0]));
  }

  /// A pair of columns gives at most 2 * 62 * 127.
  static CARAT_ALWAYS_INLINE __m512i sums(const Block& b, const int8_t* a, const int16_t* terms) {
    const Parts<E> parts{b};
    const __m256i scales = parts.scales();
    __m512i sum = _mm512_setzero_si512();
    alignas(32) uint64_t signs[4];
    if constexpr (kShift)
      sum = _mm512_zextsi256_si512(_mm256_madd_epi16(scales, load_256(terms)));
    else
      _mm256_store_si256(reinterpret_cast<__m256i*>(signs), parts.signs());
    unrolled<4>([&](auto g) CARAT_INLINE_LAMBDA {
      __m512i x = _mm512_loadu_si512(a + 64 * g);
      if constexpr (!kShift) x = _mm512_mask_sub_epi8(x, signs[g], _mm512_setzero_si512(), x);
      sum = _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(codes<g>(parts), x), spread_words<g>(scales));
    });
    return sum;
  }
};

template <class E>
requires(E::kAtom > 1) struct ProductAlongRows<Avx512Simd, E> : AlongRows<E, CodebookBlocks<E>> {
};

}  // namespace
}  // namespace carat
