// IQ1_S and IQ1_M by tables in registers (permuted_tables.h). The 64 entries of a register belong to blocks
// of two rows. An entry is 16 bits: columns 0 .. 3 in one byte, 4 .. 7 in another, each t + 1 of a t in {-1,
// 0, 1}. Those bits enter the dot products where they lie, times 1, 4, 16 and 64, and each place has a sum of
// its own.
//
// A leaf adds up to s * (8 (sum of (t + 1) a) - 8 (sum of a) +- (sum of a)), the shifts being those of leaves
// (IQ1_S) or of entries (IQ1_M).
//
// Included inside a target region, after avx512/permuted_tables.h.

namespace carat {
namespace {

template <class E>
struct Iq1Tables {
  alignas(64) uint8_t low[E::kEntries] = {}, high[E::kEntries] = {};
  constexpr Iq1Tables() {
    for (int e = 0; e < E::kEntries; ++e)
      for (int c = 0; c < 8; ++c) {
        const int digit = E::kRanks[E::kGrid[e] >> (2 * c) & 3] / 8 + 1;
        (c < 4 ? low : high)[e] |= static_cast<uint8_t>(digit << (2 * (c % 4)));
      }
  }
};
/// Of `count` times 64 entries; high: bits 7 .. 10.
template <class E, int count>
CARAT_ALWAYS_INLINE void look_up_digits(const __m512i* entries, const __mmask64 (*high)[count],
                                        __m512i* low_digits, __m512i* high_digits) {
  static constexpr Iq1Tables<E> kTables;
  look_up<E::kEntries / 64, count>(kTables.low, entries, high, low_digits);
  look_up<E::kEntries / 64, count>(kTables.high, entries, high, high_digits);
}

/// The sums of the four places of codes, which meet the activations of their columns.
struct PlaceSums {
  __m512i of[4];

  CARAT_ALWAYS_INLINE PlaceSums() {
    unrolled<4>([&](auto p) CARAT_INLINE_LAMBDA { of[p] = _mm512_setzero_si512(); });
  }
  template <int p>
  CARAT_ALWAYS_INLINE void add(__m512i digits, __m512i x) {
    const __m512i mask = _mm512_set1_epi8(static_cast<char>(3 << (2 * p)));
    of[p] = _mm512_dpbusd_epi32(of[p], _mm512_and_si512(digits, mask), x);
  }
  /// Eight times what they are together; those of places are multiples of 1, 4, 16 and 64.
  CARAT_ALWAYS_INLINE __m512i eight_times() const {
    const __m512i low = _mm512_add_epi32(_mm512_slli_epi32(of[0], 2), of[1]);
    const __m512i high = _mm512_add_epi32(_mm512_slli_epi32(of[2], 2), of[3]);
    return _mm512_add_epi32(_mm512_slli_epi32(low, 1), _mm512_srai_epi32(high, 3));
  }
};

/// Leaves of 32 columns: a dword is the same column of a leaf's four entries, the first row's leaves are the
/// lower half of a register.
struct Iq1SBlocks {
  using E = IQ1_S;
  using Block = E::Block;

  struct Activations {
    __m512i x[4];      ///< columns c and c + 2 of entries (c = 0, 4, 1, 5): byte k of 32: of entry k
    __m512i up, down;  ///< what shifted leaves add whatever their entries, for both rows
  };
  static CARAT_ALWAYS_INLINE void prepare(const RoundedActivations& a, int64_t block, Activations& to) {
    rearrange_for_leaves_of_32(a.codes + 256 * block, to.x);
    const __m512i sums = _mm512_broadcast_i64x4(load_256(a.sums32 + 8 * block));
    to.up = _mm512_mullo_epi32(sums, _mm512_set1_epi32(-7));
    to.down = _mm512_mullo_epi32(sums, _mm512_set1_epi32(-9));
  }
  static CARAT_ALWAYS_INLINE uint16_t d(const Block& b) { return b.d; }

  struct HighBits {  // of a word for four entries, in the lower half of each dword: 3 each
    static constexpr int at(int b) { return 32 * (b % 8 / 4) + 3 * (b % 4); }
  };
  static CARAT_ALWAYS_INLINE __m128i words(const Block& b) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(b.qh));
  }
  static CARAT_ALWAYS_INLINE __m512i sums(__m512i low, __m512i high, __m512i words, const Activations& a) {
    PlaceSums sums;
    unrolled<4>([&](auto c) CARAT_INLINE_LAMBDA {
      sums.add<c>(low, both_rows<c>(a.x));
      sums.add<c>(high, both_rows<c + 4>(a.x));
    });
    const __mmask16 down = _mm512_test_epi32_mask(words, _mm512_set1_epi32(0x8000));
    const __m512i sum = _mm512_add_epi32(sums.eight_times(), _mm512_mask_blend_epi32(down, a.up, a.down));
    const __m512i scales = _mm512_ternarylogic_epi32(_mm512_srli_epi32(words, 11), _mm512_set1_epi32(14),
                                                     _mm512_set1_epi32(1), 0xea);
    return _mm512_mullo_epi32(sum, scales);
  }
  static CARAT_ALWAYS_INLINE void totals(const Block* const* b, const Activations& a, int32_t* to) {
    __m512i entries[2], words_of[2], low[2], high[2];
    __mmask64 bits[4][2];
    unrolled<2>([&](auto i) CARAT_INLINE_LAMBDA {
      const Block &first = *b[2 * i], &second = *b[2 * i + 1];
      entries[i] = _mm512_inserti64x4(_mm512_castsi256_si512(load_256(first.qs)), load_256(second.qs), 1);
      words_of[i] = _mm512_cvtepu16_epi32(_mm256_setr_m128i(words(first), words(second)));
      const __m512i more = _mm512_multishift_epi64_epi8(constant_bytes<HighBits>(), words_of[i]);
      bits[0][i] = _mm512_movepi8_mask(entries[i]);
      unrolled<3>([&](auto j) CARAT_INLINE_LAMBDA {
        bits[1 + j][i] = _mm512_test_epi8_mask(more, _mm512_set1_epi8(1 << j));
      });
    });
    look_up_digits<E, 2>(entries, bits, low, high);
    const __m512i x = sums(low[0], high[0], words_of[0], a), y = sums(low[1], high[1], words_of[1], a);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), sums_of_halves(x, y));
  }
};

/// Leaves of 16 columns: a dword is two columns, one of the lower four, of a leaf's two entries; the leaves
/// of a row are one register.
struct Iq1MBlocks {
  using E = IQ1_M;
  using Block = E::Block;

  struct Activations {
    __m512i x[4];   ///< columns p and 4 + p: bytes 4 j ..: of entries 2 j and 2 j + 1
    __m512i start;  ///< dword j: minus eight times the sum of leaf j
    __m512i sums;   ///< word k: the sum of entry k
  };
  struct Columns {
    static constexpr int from(int p, int b) { return 16 * (b / 4) + 8 * (b % 2) + 4 * (b / 2 % 2) + p; }
  };
  static CARAT_ALWAYS_INLINE void prepare(const RoundedActivations& a, int64_t block, Activations& to) {
    rearrange<Columns>(a.codes + 256 * block, to.x);
    to.start = _mm512_mullo_epi32(_mm512_loadu_si512(a.sums16 + 16 * block), _mm512_set1_epi32(-8));
    // Bytes 4 j + e % 2 and 4 j + 2 + e % 2 of all x, then words of entries.
    const __m512i one = _mm512_set1_epi8(1);
    const __m512i swap = constant_bytes<PairEntries>();
    __m512i sums = _mm512_setzero_si512();
    unrolled<4>([&](auto p) CARAT_INLINE_LAMBDA {
      sums = _mm512_add_epi16(sums, _mm512_maddubs_epi16(one, _mm512_shuffle_epi8(to.x[p], swap)));
    });
    to.sums = sums;
  }
  struct PairEntries {  // both columns of an entry side by side
    static constexpr int at(int b) { return b % 16 / 4 * 4 + b % 4 / 2 + 2 * (b % 2); }
  };
  static CARAT_ALWAYS_INLINE uint16_t d(const Block& b) {
    uint64_t x;
    __builtin_memcpy(&x, b.scales, 8);
    x = x >> 12 & 0x000f000f000f000f;  // four bits of every word
    x |= x >> 12;
    return static_cast<uint16_t>((x & 0xff) | (x >> 24 & 0xff00));
  }

  struct Scales {  // three bits at 3 (j % 4) of word j / 4, one bit higher
    static constexpr int at(int b) { return (16 * (b / 16) + 3 * (b / 4 % 4) + 63) % 64; }
  };
  static CARAT_ALWAYS_INLINE __m512i scales(const Block& b) {
    int64_t x;
    __builtin_memcpy(&x, b.scales, 8);
    const __m512i all = _mm512_multishift_epi64_epi8(constant_bytes<Scales>(), _mm512_set1_epi64(x));
    return _mm512_ternarylogic_epi32(all, _mm512_set1_epi32(14), _mm512_set1_epi32(1), 0xea);
  }
  /// down: of the row's entries, which are shifted downwards.
  static CARAT_ALWAYS_INLINE __m512i sums(const Block& b, __m512i digits, __mmask32 down,
                                          const Activations& a) {
    PlaceSums sums;
    unrolled<4>([&](auto p) CARAT_INLINE_LAMBDA { sums.add<p>(digits, a.x[p]); });
    const __m512i shifts = _mm512_mask_sub_epi16(a.sums, down, _mm512_setzero_si512(), a.sums);
    const __m512i start = _mm512_dpwssd_epi32(a.start, shifts, _mm512_set1_epi16(1));
    return _mm512_mullo_epi32(_mm512_add_epi32(sums.eight_times(), start), scales(b));
  }

  struct Nibbles {  // of four bytes for 8 entries, in the lower half of every qword
    static constexpr int at(int b) { return 4 * (b % 8); }
  };
  static CARAT_ALWAYS_INLINE __m512i interleaved(const uint8_t* first, const uint8_t* second) {
    return _mm512_permutex2var_epi64(_mm512_castsi256_si512(load_256(first)),
                                     _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11),
                                     _mm512_castsi256_si512(load_256(second)));
  }
  static CARAT_ALWAYS_INLINE __m512i nibbles(const Block& first, const Block& second) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first.qh));
    const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(second.qh));
    const __m256i both = _mm256_setr_m128i(_mm_unpacklo_epi32(x, y), _mm_unpackhi_epi32(x, y));
    return _mm512_multishift_epi64_epi8(constant_bytes<Nibbles>(), _mm512_cvtepu32_epi64(both));
  }

  static CARAT_ALWAYS_INLINE void totals(const Block* const* b, const Activations& a, int32_t* to) {
    __m512i entries[2], low[2], high[2], x[4];
    __mmask64 bits[4][2];
    __mmask32 down[4];
    unrolled<2>([&](auto i) CARAT_INLINE_LAMBDA {
      const Block &first = *b[2 * i], &second = *b[2 * i + 1];
      entries[i] = interleaved(first.qs, second.qs);
      const __m512i more = nibbles(first, second);
      bits[0][i] = _mm512_movepi8_mask(entries[i]);
      unrolled<3>([&](auto j) CARAT_INLINE_LAMBDA {
        bits[1 + j][i] = _mm512_test_epi8_mask(more, _mm512_set1_epi8(1 << j));
      });
      down[2 * i] = _mm512_test_epi16_mask(_mm512_unpacklo_epi8(more, more), _mm512_set1_epi16(8));
      down[2 * i + 1] = _mm512_test_epi16_mask(_mm512_unpackhi_epi8(more, more), _mm512_set1_epi16(8));
    });
    look_up_digits<E, 2>(entries, bits, low, high);
    unrolled<2>([&](auto i) CARAT_INLINE_LAMBDA {
      x[2 * i] = sums(*b[2 * i], _mm512_unpacklo_epi16(low[i], high[i]), down[2 * i], a);
      x[2 * i + 1] = sums(*b[2 * i + 1], _mm512_unpackhi_epi16(low[i], high[i]), down[2 * i + 1], a);
    });
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), sums_of_lanes(x));
  }
};

template <>
struct ProductAlongRows<Avx512Simd, IQ1_S> : RowsByFour<Avx512Simd, IQ1_S, Iq1SBlocks> {};
template <>
struct ProductAlongRows<Avx512Simd, IQ1_M> : RowsByFour<Avx512Simd, IQ1_M, Iq1MBlocks> {};

}  // namespace
}  // namespace carat
