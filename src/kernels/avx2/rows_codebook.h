// Codebook encodings and one token along the rows (generic/rows_by_four.h) by loads: one for each vector of 4
// or 8 columns, which bound the whole. What is loaded that way has no need of a transposed copy: 5 times the
// speed of panels. Signs go to the activations. 256 bits serve AVX-512 as well, where loads are as many.
//
// Included inside a target region, after generic/rows_by_four.h and generic/unpack_codebook.h.

namespace carat {
namespace {

CARAT_ALWAYS_INLINE __m256i load_256_of(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
/// The eight bytes at p, in every qword.
CARAT_ALWAYS_INLINE __m256i broadcast_64(const void* p) {
  int64_t x;
  __builtin_memcpy(&x, p, 8);
  return _mm256_set1_epi64x(x);
}
/// Words j of 16, of bytes.
CARAT_ALWAYS_INLINE __m256i sixteen_bytes(const uint8_t* p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
template <int bits>
CARAT_ALWAYS_INLINE __m256i masked_words(__m256i x) {
  return _mm256_and_si256(x, _mm256_set1_epi16(bits));
}
/// x << shift, word by word.
template <int... shift>
CARAT_ALWAYS_INLINE __m256i shifted_words(__m256i x) {
  static_assert(sizeof...(shift) == 16);
  return _mm256_mullo_epi16(x, _mm256_setr_epi16(static_cast<int16_t>(1 << shift)...));
}

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
  const __m128i packed = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
  const __m128i low = _mm_and_si128(packed, _mm_set1_epi8(15));
  const __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), _mm_set1_epi8(15));
  return odd_words(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(low, high)));
}
/// The same for leaves of 32 columns, from eight dwords.
CARAT_ALWAYS_INLINE __m256i words_of_leaves(__m256i eight) {
  return odd_words(_mm256_or_si256(eight, _mm256_slli_epi32(eight, 16)));
}

/// What is read of a block of E: scale words, signs of eight columns in each byte, and four<k>, where the
/// entries of vectors 4 k .. 4 k + 3 are, kEntryBytes each.
template <class E>
struct Parts;

/// Entries of more than eight bits: all at once, and then stored.
template <class E>
struct StoredEntries {
  alignas(32) uint16_t entries[256 / E::kVector];

  static constexpr int kEntryBytes = 2;
  template <int k>
  CARAT_ALWAYS_INLINE const void* four() const {
    return entries + 4 * k;
  }

 protected:
  template <int j>
  CARAT_ALWAYS_INLINE void store_sixteen(__m256i words) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(entries + 16 * j), words);
  }
};

template <>
struct Parts<IQ2_XXS> {
  const IQ2_XXS::Block& b;
  CARAT_ALWAYS_INLINE __m256i rest() const {
    const __m256 x = _mm256_castsi256_ps(load_256_of(b.qs)), y = _mm256_castsi256_ps(load_256_of(b.qs + 4));
    return _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xdd)), 0xd8);
  }
  CARAT_ALWAYS_INLINE __m256i scales() const { return words_of_leaves(_mm256_srli_epi32(rest(), 28)); }
  CARAT_ALWAYS_INLINE __m256i signs() const { return even_signs_of(rest()); }
  static constexpr int kEntryBytes = 1;
  template <int k>
  CARAT_ALWAYS_INLINE const void* four() const {
    return b.qs[k];
  }
};
template <>
struct Parts<IQ2_XS> : StoredEntries<IQ2_XS> {
  const IQ2_XS::Block& b;
  CARAT_ALWAYS_INLINE explicit Parts(const IQ2_XS::Block& block) : b(block) {
    unrolled<2>([&](auto j)
                    CARAT_INLINE_LAMBDA { store_sixteen<j>(masked_words<511>(load_256_of(b.qs + 16 * j))); });
  }
  CARAT_ALWAYS_INLINE __m256i scales() const { return words_of_nibbles(b.scales); }
  CARAT_ALWAYS_INLINE __m256i signs() const {
    const __m256i low = _mm256_srli_epi16(load_256_of(b.qs), 9);
    const __m256i high = _mm256_srli_epi16(load_256_of(b.qs + 16), 9);
    return with_eighth_sign(_mm256_permute4x64_epi64(_mm256_packus_epi16(low, high), 0xd8));
  }
};
template <>
struct Parts<IQ2_S> : StoredEntries<IQ2_S> {
  const IQ2_S::Block& b;
  CARAT_ALWAYS_INLINE explicit Parts(const IQ2_S::Block& block) : b(block) {
    const __m256i bytes = broadcast_64(b.qh);
    unrolled<2>([&](auto j) CARAT_INLINE_LAMBDA {  // a byte for four entries
      constexpr char k = 4 * j;
      const __m256i four =
          _mm256_setr_epi8(k, -1, k, -1, k, -1, k, -1, k + 1, -1, k + 1, -1, k + 1, -1, k + 1, -1, k + 2, -1,
                           k + 2, -1, k + 2, -1, k + 2, -1, k + 3, -1, k + 3, -1, k + 3, -1, k + 3, -1);
      const __m256i high =
          shifted_words<8, 6, 4, 2, 8, 6, 4, 2, 8, 6, 4, 2, 8, 6, 4, 2>(_mm256_shuffle_epi8(bytes, four));
      store_sixteen<j>(_mm256_or_si256(masked_words<0x300>(high), sixteen_bytes(b.qs + 16 * j)));
    });
  }
  CARAT_ALWAYS_INLINE __m256i scales() const { return words_of_nibbles(b.scales); }
  CARAT_ALWAYS_INLINE __m256i signs() const { return load_256_of(b.signs); }
};
template <>
struct Parts<IQ3_XXS> {
  const IQ3_XXS::Block& b;
  CARAT_ALWAYS_INLINE __m256i scales() const {
    return words_of_leaves(_mm256_srli_epi32(load_256_of(b.rest), 28));
  }
  CARAT_ALWAYS_INLINE __m256i signs() const { return even_signs_of(load_256_of(b.rest)); }
  static constexpr int kEntryBytes = 1;
  template <int k>
  CARAT_ALWAYS_INLINE const void* four() const {
    return b.qs + 4 * k;
  }
};
template <>
struct Parts<IQ3_S> : StoredEntries<IQ3_S> {
  const IQ3_S::Block& b;
  CARAT_ALWAYS_INLINE explicit Parts(const IQ3_S::Block& block) : b(block) {
    const __m256i bytes = broadcast_64(b.qh);
    unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA {  // a bit for every entry
      constexpr char k = 2 * j, n = k + 1;
      const __m256i eight = _mm256_setr_epi8(k, -1, k, -1, k, -1, k, -1, k, -1, k, -1, k, -1, k, -1, n, -1, n,
                                             -1, n, -1, n, -1, n, -1, n, -1, n, -1, n, -1);
      const __m256i high =
          shifted_words<8, 7, 6, 5, 4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1>(_mm256_shuffle_epi8(bytes, eight));
      store_sixteen<j>(_mm256_or_si256(masked_words<0x100>(high), sixteen_bytes(b.qs + 16 * j)));
    });
  }
  CARAT_ALWAYS_INLINE __m256i scales() const {
    const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    const __m256i all = _mm256_srlv_epi32(_mm256_set1_epi32(load_32(b.scales)), shifts);
    return words_of_leaves(_mm256_and_si256(all, _mm256_set1_epi32(15)));
  }
  CARAT_ALWAYS_INLINE __m256i signs() const { return load_256_of(b.signs); }
};
template <>
struct Parts<IQ1_S> : StoredEntries<IQ1_S> {
  const IQ1_S::Block& b;
  CARAT_ALWAYS_INLINE explicit Parts(const IQ1_S::Block& block) : b(block) {
    unrolled<2>([&](auto j) CARAT_INLINE_LAMBDA {  // a word for four entries
      const __m256i four = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 4, 5, 4, 5, 4, 5,
                                            4, 5, 6, 7, 6, 7, 6, 7, 6, 7);
      const __m256i high = shifted_words<13, 10, 7, 4, 13, 10, 7, 4, 13, 10, 7, 4, 13, 10, 7, 4>(
          _mm256_shuffle_epi8(broadcast_64(b.qh + 4 * j), four));
      store_sixteen<j>(
          _mm256_or_si256(masked_words<0x700>(_mm256_srli_epi16(high, 5)), sixteen_bytes(b.qs + 16 * j)));
    });
  }
  /// A word for each leaf: bits 12 .. 14 scale, bit 15 shift.
  CARAT_ALWAYS_INLINE __m256i leaves() const {
    return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b.qh)));
  }
  CARAT_ALWAYS_INLINE __m256i scales() const {
    return words_of_leaves(_mm256_and_si256(_mm256_srli_epi32(leaves(), 12), _mm256_set1_epi32(7)));
  }
};
template <>
struct Parts<IQ1_M> : StoredEntries<IQ1_M> {
  const IQ1_M::Block& b;
  __m256i down[2];  ///< words: of entries whose columns are shifted downwards, -1
  CARAT_ALWAYS_INLINE explicit Parts(const IQ1_M::Block& block) : b(block) {
    unrolled<2>([&](auto j) CARAT_INLINE_LAMBDA {  // a byte for two entries
      const __m256i two = _mm256_setr_epi8(0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1, 4, -1, 4,
                                           -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1);
      const __m256i high = shifted_words<8, 4, 8, 4, 8, 4, 8, 4, 8, 4, 8, 4, 8, 4, 8, 4>(
          _mm256_shuffle_epi8(broadcast_64(b.qh + 8 * j), two));
      down[j] = _mm256_srai_epi16(_mm256_slli_epi16(high, 4), 15);
      store_sixteen<j>(_mm256_or_si256(masked_words<0x700>(high), sixteen_bytes(b.qs + 16 * j)));
    });
  }
  CARAT_ALWAYS_INLINE __m256i scales() const {
    const __m256i four = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 4, 5, 4, 5, 4, 5, 4,
                                          5, 6, 7, 6, 7, 6, 7, 6, 7);
    const __m256i high = shifted_words<13, 10, 7, 4, 13, 10, 7, 4, 13, 10, 7, 4, 13, 10, 7, 4>(
        _mm256_shuffle_epi8(broadcast_64(b.scales), four));
    return odd_words(_mm256_srli_epi16(high, 13));
  }
};

/// f16 bits of a block's d.
template <class E>
CARAT_ALWAYS_INLINE uint16_t block_d(const typename E::Block& b) {
  if constexpr (std::is_same_v<E, IQ1_M>) {
    uint64_t x;
    __builtin_memcpy(&x, b.scales, 8);
    x = x >> 12 & 0x000f000f000f000f;  // four bits of every word
    x |= x >> 12;
    return static_cast<uint16_t>((x & 0xff) | (x >> 24 & 0xff00));
  } else {
    return b.d;
  }
}

/// The codes of vectors (generic/unpack_codebook.h), those of four columns twice, with room for loads of 16
/// bytes that begin or end with an entry.
template <class E>
struct QwordCodes {
  uint64_t before = 0;
  uint64_t entry[E::kEntries + 1] = {};
  constexpr QwordCodes() {
    constexpr VectorCodes<E> kCodes;
    for (int e = 0; e < E::kEntries; ++e) {
      entry[e] = kCodes.entry[e];
      if (E::kVector == 4) entry[e] |= entry[e] << 32;
    }
  }
};
template <class E>
static constexpr QwordCodes<E> kQwords;

template <class E>
struct LoadedVectors {
  using Block = typename E::Block;
  static constexpr bool kShift = E::kSigns == Signs::shift;
  /// What codes of shifted levels, without their shift, have more than the level.
  static constexpr int kZero = kShift ? -E::level(0) : 0;

  struct Activations {
    __m256i x[8];     ///< columns 16 g .. 16 g + 15, then those 128 further
    __m256i zero[2];  ///< of shifted levels: dwords of leaves, what the zero of their codes adds, negative
    __m256i sums[2];  ///< dwords of leaves (IQ1_S) or words of entries (IQ1_M): what one unit of shift adds
  };
  /// Words k: of columns 8 k .. 8 k + 7 of 128.
  static CARAT_ALWAYS_INLINE __m256i sums_of_eight(const int8_t* a) {
    __m256i x[4];  // qwords, 128 being added to every column
    unrolled<4>([&](auto i) CARAT_INLINE_LAMBDA {
      const __m256i positive = _mm256_xor_si256(load_256_of(a + 32 * i), _mm256_set1_epi8(-128));
      x[i] = _mm256_sad_epu8(positive, _mm256_setzero_si256());
    });
    const __m256i words =
        _mm256_packus_epi32(_mm256_packus_epi32(x[0], x[1]), _mm256_packus_epi32(x[2], x[3]));
    const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    return _mm256_sub_epi16(_mm256_permutevar8x32_epi32(words, in_order), _mm256_set1_epi16(8 * 128));
  }
  static CARAT_ALWAYS_INLINE void prepare(const RoundedActivations& a, int64_t block, Activations& to) {
    const int8_t* codes = a.codes + 256 * block;
    for (int g = 0; g < 8; ++g)
      to.x[g] = _mm256_setr_m128i(load_128(codes + 16 * g), load_128(codes + 128 + 16 * g));
    if constexpr (kShift) {
      const int32_t* sums = (E::kLeafShift ? a.sums32 : a.sums16) + E::kLeaves * block;
      for (int i = 0; i < E::kLeaves / 8; ++i) {
        const __m256i sum = load_256_of(sums + 8 * i);
        to.zero[i] = _mm256_mullo_epi32(sum, _mm256_set1_epi32(-kZero));
        if constexpr (E::kLeafShift) to.sums[i] = sum;
      }
      if constexpr (!E::kLeafShift)
        for (int i = 0; i < 2; ++i) to.sums[i] = sums_of_eight(codes + 128 * i);
    }
  }
  static CARAT_ALWAYS_INLINE uint16_t d(const Block& b) { return block_d<E>(b); }

  /// What shifts and the zero of the codes add to a block.
  static CARAT_ALWAYS_INLINE __m256i start(const Parts<E>& parts, __m256i scales, const Activations& a) {
    if constexpr (E::kLeafShift) {
      const __m256i down = _mm256_srai_epi32(parts.leaves(), 31);
      const __m256i shift = _mm256_sub_epi32(_mm256_xor_si256(a.sums[0], down), down);
      const __m256i of_leaves = _mm256_and_si256(scales, _mm256_set1_epi32(0xffff));
      return _mm256_mullo_epi32(of_leaves, _mm256_add_epi32(a.zero[0], shift));
    } else {
      __m256i sum[2];
      unrolled<2>([&](auto j) CARAT_INLINE_LAMBDA {
        const __m256i shift = _mm256_sub_epi16(_mm256_xor_si256(a.sums[j], parts.down[j]), parts.down[j]);
        const __m128i half = j == 0 ? _mm256_castsi256_si128(scales) : _mm256_extracti128_si256(scales, 1);
        const __m256i of_leaves = _mm256_cvtepu16_epi32(half);
        sum[j] = _mm256_mullo_epi32(
            of_leaves, _mm256_add_epi32(a.zero[j], _mm256_madd_epi16(shift, _mm256_set1_epi16(1))));
      });
      return _mm256_add_epi32(sum[0], sum[1]);
    }
  }

  /// The codes of columns 16 h .. 16 h + 15. A load and a blend are one operation, a load and an insertion
  /// two, so vectors are loaded where they will lie, and what lies beside them is blended away. That and one
  /// load for four indices take a tenth of the time off.
  template <int h>
  static CARAT_ALWAYS_INLINE __m128i codes(const Parts<E>& parts) {
    constexpr int kVectors = 16 / E::kVector, kBits = 8 * Parts<E>::kEntryBytes;
    std::conditional_t<kBits == 8, uint32_t, uint64_t> four;  // one load for their indices
    __builtin_memcpy(&four, parts.template four<h * kVectors / 4>(), sizeof four);
    const auto at = [&](auto k, int qwords_before) CARAT_INLINE_LAMBDA {
      const auto entry = four >> (kBits * (h * kVectors % 4 + k)) & ((1u << kBits) - 1);
      return reinterpret_cast<const __m128i*>(kQwords<E>.entry + entry - qwords_before);
    };
    constexpr std::integral_constant<int, 0> k0;
    constexpr std::integral_constant<int, 1> k1;
    __m128i x = _mm_loadl_epi64(at(k0, 0));
    if constexpr (E::kVector == 8) {
      x = _mm_blend_epi32(x, _mm_loadu_si128(at(k1, 1)), 12);
    } else {
      constexpr std::integral_constant<int, 2> k2;
      constexpr std::integral_constant<int, 3> k3;
      x = _mm_blend_epi32(x, _mm_loadu_si128(at(k1, 0)), 2);
      x = _mm_blend_epi32(x, _mm_loadu_si128(at(k2, 1)), 4);
      x = _mm_blend_epi32(x, _mm_loadu_si128(at(k3, 1)), 8);
    }
    return x;
  }

  /// Eight integers that add up to the total of a block. A pair of columns gives at most 2 * 62 * 127.
  static CARAT_ALWAYS_INLINE __m256i sums(const Block& b, const Activations& a) {
    const Parts<E> parts{b};
    const __m256i scales = parts.scales();
    [[maybe_unused]] __m256i signs = _mm256_setzero_si256();
    __m256i sum = _mm256_setzero_si256();
    if constexpr (kShift)
      sum = start(parts, scales, a);
    else
      signs = parts.signs();
    [[maybe_unused]] const __m256i bits = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
    // Columns 16 g .. 16 g + 15 and 128 behind them: what belongs to them lies in the same half of scales and
    // signs.
    unrolled<8>([&](auto g) CARAT_INLINE_LAMBDA {
      __m256i x = a.x[g];
      if constexpr (!kShift) {
        constexpr auto kBytes = static_cast<long long>(0x0202020202020202 * g);
        constexpr auto kNext = static_cast<long long>(kBytes + 0x0101010101010101);
        const __m256i of_columns =
            _mm256_shuffle_epi8(signs, _mm256_setr_epi64x(kBytes, kNext, kBytes, kNext));
        // 127 and more than that, which is negative, beside 127.
        const __m256i sign = _mm256_add_epi8(_mm256_and_si256(of_columns, bits), _mm256_set1_epi8(127));
        x = _mm256_sign_epi8(x, sign);
      }
      const __m256i scale = _mm256_shuffle_epi8(scales, _mm256_set1_epi16(0x0202 * g + 0x0100));
      const __m256i y = _mm256_setr_m128i(codes<g>(parts), codes<g + 8>(parts));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(y, x), scale));
    });
    return sum;
  }

  static CARAT_ALWAYS_INLINE void totals(const Block* const* b, const Activations& a, int32_t* to) {
    __m256i x[4];
    unrolled<4>([&](auto r) CARAT_INLINE_LAMBDA { x[r] = sums(*b[r], a); });
    const __m256i low = _mm256_hadd_epi32(x[0], x[1]), high = _mm256_hadd_epi32(x[2], x[3]);
    const __m256i all = _mm256_hadd_epi32(low, high);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
  }
};

template <class S, class E>
requires(E::kAtom > 1) struct ProductAlongRows<S, E> : RowsByFour<S, E, LoadedVectors<E>> {
};

}  // namespace
}  // namespace carat
