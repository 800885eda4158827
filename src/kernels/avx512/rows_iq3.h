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

  /// Of eight bytes of an entry each, 2 of every vector pair: where its four signs begin, two bits earlier.
  struct SignsOfPairs {  // bytes 2 j and 2 j + 1 both hold the signs of vectors 2 j and 2 j + 1
    static constexpr int at(int b) { return (8 * (b % 8) + 4 * (b % 2) + 62) % 64; }
  };
  struct SignsOfBytes {  // byte j holds the signs of vectors 2 j and 2 j + 1
    static constexpr int at(int b) { return (4 * (b % 8) + 62) % 64; }
  };
  struct SevenBits {
    static constexpr int at(int b) { return 7 * (b % 8 / 2); }
  };

  /// Signs of columns 0 .. 3 of each vector at bits 2 .. 5 of its byte, and scales per half leaf.
  static CARAT_ALWAYS_INLINE void read(const Block& b, __m512i& signs, __m512i& scales) {
    const __m512i one = _mm512_set1_epi32(1);
    if constexpr (std::is_same_v<E, IQ3_XXS>) {
      const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
      const __m512i rest = _mm512_permutexvar_epi32(twice, _mm512_castsi256_si512(load_256(b.rest)));
      signs = all_signs(_mm512_multishift_epi64_epi8(constant_bytes<SevenBits>(), rest));
      signs = _mm512_multishift_epi64_epi8(constant_bytes<SignsOfPairs>(), signs);
      scales = _mm512_or_si512(_mm512_srli_epi32(rest, 27), one);  // bit 27 is a sign, and 1 in any case
    } else {
      signs = _mm512_multishift_epi64_epi8(constant_bytes<SignsOfBytes>(),
                                           _mm512_cvtepu32_epi64(load_256(b.signs)));
      const __m512i up = _mm512_setr_epi32(31, 31, 3, 3, 7, 7, 11, 11, 15, 15, 19, 19, 23, 23, 27, 27);
      const __m512i all = _mm512_rorv_epi32(_mm512_set1_epi32(load_32(b.scales)), up);
      scales = _mm512_ternarylogic_epi32(all, _mm512_set1_epi32(30), one, 0xea);
    }
  }

  static CARAT_ALWAYS_INLINE __m512i sums(const Block& b, const Activations& a) {
    static constexpr Iq3Tables<E> kTables;
    __m512i signs, scales;
    read(b, signs, scales);
    const __m512i entries = _mm512_loadu_si512(b.qs);
    __mmask64 high[2][1] = {{_mm512_movepi8_mask(entries)}, {}};
    if constexpr (kBits == 9) __builtin_memcpy(high[1], b.qh, 8);
    __m512i even, odd;
    look_up<E::kEntries / 64, 1>(kTables.even, &entries, high, &even);
    look_up<E::kEntries / 64, 1>(kTables.odd, &entries, high, &odd);
    even = _mm512_ternarylogic_epi32(even, signs, _mm512_set1_epi8(0x14), 0xd8);
    odd = _mm512_ternarylogic_epi32(odd, signs, _mm512_set1_epi8(0x28), 0xd8);
    __m512i sum = a.start;
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, 2, 0, 1, 3>(even), a.x[0]);
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, 3, 0, 1, 2>(odd), a.x[1]);
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, 0, 1, 2, 3>(_mm512_srli_epi16(even, 4)), a.x[2]);
    sum = _mm512_dpbusd_epi32(sum, signed_codes<E, 1, 0, 2, 3>(_mm512_srli_epi16(odd, 4)), a.x[3]);
    return _mm512_mullo_epi32(sum, scales);
  }
  static CARAT_ALWAYS_INLINE void totals(const Block* const* b, const Activations& a, int32_t* to) {
    __m512i x[4];
    unrolled<4>([&](auto r) CARAT_INLINE_LAMBDA { x[r] = sums(*b[r], a); });
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), sums_of_lanes(x));
  }
};

template <class E>
requires(E::kVector == 4) struct ProductAlongRows<Avx512Simd, E> : RowsByFour<Avx512Simd, E, Iq3Blocks<E>> {
};

}  // namespace
}  // namespace carat
