// IQ2_XXS, IQ2_XS and IQ2_S by tables in registers (permuted_tables.h). The 64 entries of a register belong
// to blocks of two rows. An entry's ranks are two bytes: those of columns 0, 2, 4 and 6, and of the odd ones.
//
// Included inside a target region, after avx512/permuted_tables.h.

namespace carat {
namespace {

/// Columns 0 and 4 (or 1 and 5) in bits 2, 3 and 6, 7, columns 2 and 6 (3 and 7) in bits 0, 1 and 4, 5. Two
/// columns of a byte thus have the other two's bits free, where their signs lie anyway: bits 0 and 4, 2 and 6
/// of the byte of signs (1 and 5, 3 and 7).
template <class E>
struct Iq2Tables {
  alignas(64) uint8_t even[E::kEntries] = {}, odd[E::kEntries] = {};
  constexpr Iq2Tables() {
    for (int e = 0; e < E::kEntries; ++e)
      for (int c = 0; c < 8; ++c) {
        const int rank = E::kGrid[e] >> (2 * c) & 3;
        const int place = 4 * (c / 4) + (c % 4 < 2 ? 2 : 0);
        (c % 2 == 0 ? even : odd)[e] |= static_cast<uint8_t>(rank << place);
      }
  }
};

/// Of bytes with ranks and bytes with signs: indices of columns 0 and 4 (low and high nibble), and of 2
/// and 6.
CARAT_ALWAYS_INLINE __m512i with_signs_low(__m512i ranks, __m512i signs) {
  return _mm512_ternarylogic_epi32(ranks, signs, _mm512_set1_epi8(0x33), 0xd8);
}
CARAT_ALWAYS_INLINE __m512i with_signs_high(__m512i ranks, __m512i signs) {
  return _mm512_ternarylogic_epi32(ranks, signs, _mm512_set1_epi8(static_cast<char>(0xcc)), 0xd8);
}

/// Leaves of 32 columns: a dword is the same column of a leaf's four entries, the first row's leaves are the
/// lower half of a register.
struct Iq2XxsBlocks {
  using E = IQ2_XXS;
  using Block = E::Block;

  struct Activations {
    __m512i x[4];   ///< columns c and c + 2 of entries (c = 0, 4, 1, 5): byte k of 32: of entry k
    __m256i start;  ///< dword i: what the codes' zero adds to leaf i, negative
  };
  static CARAT_ALWAYS_INLINE void prepare(const RoundedActivations& a, int64_t block, Activations& to) {
    rearrange_for_leaves_of_32(a.codes + 256 * block, to.x);
    to.start = _mm256_mullo_epi32(load_256(a.sums32 + 8 * block), _mm256_set1_epi32(E::level(0)));
  }
  static CARAT_ALWAYS_INLINE uint16_t d(const Block& b) { return b.d; }

  struct SevenBits {
    static constexpr int at(int b) { return 7 * (b % 4) + 32 * (b % 8 / 4); }
  };
  /// Adds the products of columns c and c + 4 (nibbles of `index`) to the sums of leaves.
  template <int c, int sign, int rank>
  static CARAT_ALWAYS_INLINE __m512i add(__m512i sum, __m512i index, const Activations& a) {
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, sign, rank, rank + 1>(index), both_rows<c>(a.x));
    return _mm512_dpbusd_epi32(sum, signed_codes<E, sign, rank, rank + 1>(_mm512_srli_epi16(index, 4)),
                               both_rows<c + 4>(a.x));
  }
  static CARAT_ALWAYS_INLINE __m512i sums(const Block& first, const Block& second, const Activations& a) {
    static constexpr Iq2Tables<E> kTables;
    const __m512i even_dwords = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd_dwords = _mm512_or_si512(even_dwords, _mm512_set1_epi32(1));
    const __m512i x = _mm512_loadu_si512(first.qs), y = _mm512_loadu_si512(second.qs);
    const __m512i entries = _mm512_permutex2var_epi32(x, even_dwords, y);
    const __m512i rest = _mm512_permutex2var_epi32(x, odd_dwords, y);
    const __m512i signs = all_signs(_mm512_multishift_epi64_epi8(constant_bytes<SevenBits>(), rest));
    const __mmask64 high[1][1] = {{_mm512_movepi8_mask(entries)}};
    __m512i even, odd;
    look_up<4, 1>(kTables.even, &entries, high, &even);
    look_up<4, 1>(kTables.odd, &entries, high, &odd);
    __m512i sum = _mm512_broadcast_i64x4(a.start);
    sum = add<0, 0, 2>(sum, with_signs_low(even, signs), a);
    sum = add<2, 2, 0>(sum, with_signs_high(even, signs), a);
    sum = add<1, 1, 2>(sum, with_signs_low(odd, signs), a);
    sum = add<3, 3, 0>(sum, with_signs_high(odd, signs), a);
    // Bit 27 is a sign; scales are odd.
    const __m512i scales = _mm512_or_si512(_mm512_srli_epi32(rest, 27), _mm512_set1_epi32(1));
    return _mm512_mullo_epi32(sum, scales);
  }
  static CARAT_ALWAYS_INLINE void totals(const Block* const* b, const Activations& a, int32_t* to) {
    const __m512i x = sums(*b[0], *b[1], a), y = sums(*b[2], *b[3], a);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), sums_of_halves(x, y));
  }
};

/// Leaves of 16 columns: a dword is two columns, one even and one odd, of a leaf's two entries; the leaves of
/// a row are one register. `Half` reads the entries of two rows.
template <class E>
struct Iq2Blocks {
  using Block = typename E::Block;

  struct Activations {
    __m512i x[4];  ///< columns 0 and 1, 4 and 5, 2 and 3, 6 and 7: bytes 4 j ..: of entries 2 j and 2 j + 1
    __m512i start;
  };
  struct Columns {
    static constexpr int from(int f, int b) {
      return 16 * (b / 4) + 8 * (b % 2) + b / 2 % 2 + f % 2 * 4 + f / 2 * 2;
    }
  };
  static CARAT_ALWAYS_INLINE void prepare(const RoundedActivations& a, int64_t block, Activations& to) {
    rearrange<Columns>(a.codes + 256 * block, to.x);
    to.start = _mm512_mullo_epi32(_mm512_loadu_si512(a.sums16 + 16 * block), _mm512_set1_epi32(E::level(0)));
  }
  static CARAT_ALWAYS_INLINE uint16_t d(const Block& b) { return b.d; }

  /// Of two rows, 8 entries of the first and 8 of the second in each 128 bits: low bytes of entries, signs,
  /// and bits 8 and 9.
  struct Entries {
    __m512i low, signs;
    __mmask64 high[2];
  };
  struct EvenBytes {  // of two registers with words
    static constexpr int at(int b) { return 64 * (b / 8 % 2) + 16 * (b / 16) + 2 * (b % 8); }
  };
  struct OddBytes {
    static constexpr int at(int b) { return EvenBytes::at(b) + 1; }
  };
  struct BytesOfFour {  // of two times 8 bytes, each for four entries
    static constexpr int at(int b) { return 8 * (b / 8 % 2) + 2 * (b / 16) + b % 8 / 4; }
  };
  template <int bit>
  struct BitsOfFour {
    static constexpr int at(int b) { return 1 << (2 * (b % 4) + bit); }
  };
  static CARAT_ALWAYS_INLINE Entries read(const Block& first, const Block& second) {
    Entries to;
    const __m512i x = _mm512_loadu_si512(first.qs), y = _mm512_loadu_si512(second.qs);
    if constexpr (std::is_same_v<E, IQ2_XS>) {
      to.low = _mm512_permutex2var_epi8(x, constant_bytes<EvenBytes>(), y);
      const __m512i rest = _mm512_permutex2var_epi8(x, constant_bytes<OddBytes>(), y);
      to.signs = all_signs(_mm512_srli_epi16(rest, 1));
      to.high[0] = _mm512_test_epi8_mask(rest, _mm512_set1_epi8(1));
      to.high[1] = 0;
    } else {  // signs follow entries
      to.low = _mm512_permutex2var_epi64(x, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), y);
      to.signs = _mm512_permutex2var_epi64(x, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), y);
      const __m128i both = _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(first.qh)),
                                              _mm_loadl_epi64(reinterpret_cast<const __m128i*>(second.qh)));
      const __m512i bits =
          _mm512_permutexvar_epi8(constant_bytes<BytesOfFour>(), _mm512_castsi128_si512(both));
      to.high[0] = _mm512_test_epi8_mask(bits, constant_bytes<BitsOfFour<0>>());
      to.high[1] = _mm512_test_epi8_mask(bits, constant_bytes<BitsOfFour<1>>());
    }
    return to;
  }

  struct Nibbles {
    static constexpr int at(int b) { return (4 * (b / 4) + 63) % 64; }
  };
  static CARAT_ALWAYS_INLINE __m512i scales(const Block& b) {
    int64_t x;
    __builtin_memcpy(&x, b.scales, 8);
    const __m512i all = _mm512_multishift_epi64_epi8(constant_bytes<Nibbles>(), _mm512_set1_epi64(x));
    return _mm512_ternarylogic_epi32(all, _mm512_set1_epi32(30), _mm512_set1_epi32(1), 0xea);
  }

  /// The sums of a row, from the ranks and signs of its pairs of entries, [even byte, even, odd, odd].
  static CARAT_ALWAYS_INLINE __m512i sums(const Block& b, __m512i ranks, __m512i signs,
                                          const Activations& a) {
    const __m512i low = with_signs_low(ranks, signs), high = with_signs_high(ranks, signs);
    __m512i sum = a.start;
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, 0, 2, 3>(low), a.x[0]);
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, 0, 2, 3>(_mm512_srli_epi16(low, 4)), a.x[1]);
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, 2, 0, 1>(high), a.x[2]);
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, 2, 0, 1>(_mm512_srli_epi16(high, 4)), a.x[3]);
    return _mm512_mullo_epi32(sum, scales(b));
  }

  static CARAT_ALWAYS_INLINE void totals(const Block* const* b, const Activations& a, int32_t* to) {
    static constexpr Iq2Tables<E> kTables;
    __m512i low[2], signs[2], even[2], odd[2], x[4];
    __mmask64 high[3][2];
    unrolled<2>([&](auto i) CARAT_INLINE_LAMBDA {
      const Entries e = read(*b[2 * i], *b[2 * i + 1]);
      low[i] = e.low;
      signs[i] = e.signs;
      high[0][i] = _mm512_movepi8_mask(e.low);
      high[1][i] = e.high[0];
      high[2][i] = e.high[1];
    });
    look_up<E::kEntries / 64, 2>(kTables.even, low, high, even);
    look_up<E::kEntries / 64, 2>(kTables.odd, low, high, odd);
    unrolled<2>([&](auto i) CARAT_INLINE_LAMBDA {
      const __m512i odd_signs = _mm512_srli_epi16(signs[i], 1);
      x[2 * i] = sums(*b[2 * i], _mm512_unpacklo_epi16(even[i], odd[i]),
                      _mm512_unpacklo_epi16(signs[i], odd_signs), a);
      x[2 * i + 1] = sums(*b[2 * i + 1], _mm512_unpackhi_epi16(even[i], odd[i]),
                          _mm512_unpackhi_epi16(signs[i], odd_signs), a);
    });
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), sums_of_lanes(x));
  }
};

template <>
struct ProductAlongRows<Avx512Simd, IQ2_XXS> : RowsByFour<Avx512Simd, IQ2_XXS, Iq2XxsBlocks> {};
template <>
struct ProductAlongRows<Avx512Simd, IQ2_XS> : RowsByFour<Avx512Simd, IQ2_XS, Iq2Blocks<IQ2_XS>> {};
template <>
struct ProductAlongRows<Avx512Simd, IQ2_S> : RowsByFour<Avx512Simd, IQ2_S, Iq2Blocks<IQ2_S>> {};

}  // namespace
}  // namespace carat
