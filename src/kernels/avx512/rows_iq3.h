// IQ3_XXS and IQ3_S by tables in registers (permuted_tables.h). A block's 64 entries are one register, and a
// dword the same column of the four vectors of half a leaf.
//
// Included inside a target region, after avx512/permuted_tables.h.

namespace carat {
namespace {

/// The ranks of an entry's columns 0 and 2 in one byte, of 1 and 3 in another; a nibble leaves out the bit
/// where its sign will come: bits 2 and 4 of the first, 3 and 5 of the second.
template <class E>
struct Iq3Tables {
  alignas(64) uint8_t even[E::kEntries] = {}, odd[E::kEntries] = {};
  constexpr Iq3Tables() {
    for (int e = 0; e < E::kEntries; ++e) {
      int rank[4] = {};
      for (int c = 0; c < 4; ++c) rank[c] = E::kGrid[e] >> (3 * c) & 7;
      even[e] = static_cast<uint8_t>((rank[0] & 3) | (rank[0] & 4) << 1 | rank[2] << 5);
      odd[e] = static_cast<uint8_t>(rank[1] | (rank[3] & 1) << 4 | (rank[3] & 6) << 5);
    }
  }
};

template <class E>
struct Iq3Blocks {
  using Block = typename E::Block;
  static constexpr int kBits = E::kEntryBits;

  struct Activations {
    __m512i x[4];   ///< byte k: of column 4 k + c
    __m512i start;  ///< dword i: what the codes' zero adds to columns 16 i .. 16 i + 15, negative
  };
  struct Columns {
    static constexpr int from(int c, int k) { return 4 * k + c; }
  };
  static CARAT_ALWAYS_INLINE void prepare(const RoundedActivations& a, int64_t block, Activations& to) {
    rearrange<Columns>(a.codes + 256 * block, to.x);
    to.start = _mm512_mullo_epi32(_mm512_loadu_si512(a.sums16 + 16 * block), _mm512_set1_epi32(E::level(0)));
  }
  static CARAT_ALWAYS_INLINE uint16_t d(const Block& b) { return b.d; }

  struct SevenBits {  // of two leaves: four times seven bits in the lower 28 of each dword
    static constexpr int at(int b) { return 7 * (b % 4) + 32 * (b % 8 / 4); }
  };
  struct SignsOfVectors {  // of four bytes with two vectors' signs each, where a vector's begin, two bits
                           // earlier
    static constexpr int at(int b) { return (4 * (b % 8) + 62) % 64; }
  };
  /// Qwords of two rows in turn: two leaves of the first and the same of the second in each 128 bits.
  static CARAT_ALWAYS_INLINE __m512i interleaved(const void* first, const void* second) {
    return _mm512_permutex2var_epi64(_mm512_castsi256_si512(load_256(first)),
                                     _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11),
                                     _mm512_castsi256_si512(load_256(second)));
  }
  /// A byte of signs for two vectors each, and scales of leaves, both in that order.
  static CARAT_ALWAYS_INLINE void read(const Block& first, const Block& second, __m512i& signs,
                                       __m512i& scales) {
    const __m512i one = _mm512_set1_epi32(1);
    if constexpr (std::is_same_v<E, IQ3_XXS>) {
      const __m512i rest = interleaved(first.rest, second.rest);
      signs = all_signs(_mm512_multishift_epi64_epi8(constant_bytes<SevenBits>(), rest));
      scales = _mm512_or_si512(_mm512_srli_epi32(rest, 27), one);  // bit 27 is a sign, and 1 in any case
    } else {
      signs = interleaved(first.signs, second.signs);
      const __m512i x = _mm512_set1_epi32(load_32(first.scales)),
                    y = _mm512_set1_epi32(load_32(second.scales));
      const __m512i up = _mm512_setr_epi32(31, 3, 31, 3, 7, 11, 7, 11, 15, 19, 15, 19, 23, 27, 23, 27);
      const __m512i all = _mm512_rorv_epi32(_mm512_mask_blend_epi32(0xcccc, x, y), up);
      scales = _mm512_ternarylogic_epi32(all, _mm512_set1_epi32(30), one, 0xea);
    }
  }

  /// The sums of half leaves. signs: of leaf i in the lower half of qword i.
  static CARAT_ALWAYS_INLINE __m512i half_leaves(const Block& b, __m512i signs, const Activations& a) {
    static constexpr Iq3Tables<E> kTables;
    const __m512i of_columns = _mm512_multishift_epi64_epi8(constant_bytes<SignsOfVectors>(), signs);
    const __m512i entries = _mm512_loadu_si512(b.qs);
    __mmask64 high[2][1] = {{_mm512_movepi8_mask(entries)}, {}};
    if constexpr (E::kEntryBits == 9) __builtin_memcpy(high[1], b.qh, 8);
    __m512i even, odd;
    look_up<E::kEntries / 64, 1>(kTables.even, &entries, high, &even);
    look_up<E::kEntries / 64, 1>(kTables.odd, &entries, high, &odd);
    even = _mm512_ternarylogic_epi32(even, of_columns, _mm512_set1_epi8(0x14), 0xd8);
    odd = _mm512_ternarylogic_epi32(odd, of_columns, _mm512_set1_epi8(0x28), 0xd8);
    __m512i sum = a.start;
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, 2, 0, 1, 3>(even), a.x[0]);
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, 3, 0, 1, 2>(odd), a.x[1]);
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, 0, 1, 2, 3>(_mm512_srli_epi16(even, 4)), a.x[2]);
    return _mm512_dpbusd_epi32(sum, signed_codes<E, 1, 0, 2, 3>(_mm512_srli_epi16(odd, 4)), a.x[3]);
  }
  /// Sums of neighbouring dwords: two of x and two of y in each 128 bits.
  static CARAT_ALWAYS_INLINE __m512i sums_of_pairs(__m512i x, __m512i y) {
    const __m512 a = _mm512_castsi512_ps(x), b = _mm512_castsi512_ps(y);
    return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88)),
                            _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xdd)));
  }
  static CARAT_ALWAYS_INLINE __m512i leaves(const Block& first, const Block& second, const Activations& a) {
    __m512i signs, scales;
    read(first, second, signs, scales);
    const __m512i x = half_leaves(first, _mm512_shuffle_epi32(signs, _MM_PERM_BBAA), a);
    const __m512i y = half_leaves(second, _mm512_shuffle_epi32(signs, _MM_PERM_DDCC), a);
    return _mm512_mullo_epi32(sums_of_pairs(x, y), scales);
  }
  static CARAT_ALWAYS_INLINE void totals(const Block* const* b, const Activations& a, int32_t* to) {
    const __m512i x = leaves(*b[0], *b[1], a), y = leaves(*b[2], *b[3], a);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), sum_of_parts(sums_of_pairs(x, y)));
  }
};

template <class E>
requires(E::kVector == 4) struct ProductAlongRows<Avx512Simd, E> : RowsByFour<Avx512Simd, E, Iq3Blocks<E>> {
};

}  // namespace
}  // namespace carat
