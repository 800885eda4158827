// Codebook encodings and one token (generic/rows_by_four.h) with tables in registers: processors that permute
// bytes (VBMI) look up 64 entries at once in tables of 128, where loads would take as many cycles as entries.
//
// Entries of 64 vectors lie in a register. A table gives a byte for each, in which the ranks of two columns
// of every vector (or of four) lie beside room for their signs; a second table of 64 turns rank and sign into
// a code, level + zero. A vector's columns thus become bytes of several registers, to which the activations
// are rearranged once per panel. A dword never meets more than one leaf, so that dot products add up leaves,
// which the integer scales then multiply. Totals are those of panels, bit for bit: integers, and one order of
// blocks.
//
// Four rows go side by side: their totals share the sums over lanes, and the next four are asked for
// meanwhile.
//
// Included inside a target region with VBMI, after generic/panel.h.

namespace carat {
namespace {

/// Entry `index` of a table of 64 n bytes, for `count` registers of indices: bits 0 .. 6 in each byte of
/// index, bits 7 and up as masks.
template <int n, int count>
CARAT_ALWAYS_INLINE void look_up(const uint8_t* table, const __m512i* index, const __mmask64 (*high)[count],
                                 __m512i* out) {
  if constexpr (n == 2) {
    const __m512i low_half = _mm512_load_si512(table), high_half = _mm512_load_si512(table + 64);
    unrolled<count>([&](auto i) CARAT_INLINE_LAMBDA {
      out[i] = _mm512_permutex2var_epi8(low_half, index[i], high_half);
    });
  } else {
    constexpr int kBit = n == 4 ? 0 : n == 8 ? 1 : n == 16 ? 2 : 3;
    static_assert(n == 4 << kBit);
    __m512i upper[count];
    look_up<n / 2, count>(table, index, high, out);
    look_up<n / 2, count>(table + 32 * n, index, high, upper);
    unrolled<count>([&](auto i) CARAT_INLINE_LAMBDA {
      out[i] = _mm512_mask_blend_epi8(high[kBit][i], out[i], upper[i]);
    });
  }
}

/// A table of 64 bytes for bytes whose lower four bits are a rank, at bits kRank and up (without `kSign`,
/// which is skipped), and whether the level is negative, at bit kSign; other bits do not count.
template <class E, int kSign, int... kRank>
struct SignedCodes {
  alignas(64) uint8_t code[64] = {};
  constexpr SignedCodes() {
    constexpr int kBits[] = {kRank...};
    for (int i = 0; i < 64; ++i) {
      int rank = 0, place = 0;
      for (int bit : kBits) rank |= (i >> bit & 1) << place++;
      const int level = E::kRanks[rank];
      code[i] = static_cast<uint8_t>((i >> kSign & 1 ? -level : level) - E::level(0));
    }
  }
};
template <class E, int kSign, int... kRank>
CARAT_ALWAYS_INLINE __m512i signed_codes(__m512i index) {
  static constexpr SignedCodes<E, kSign, kRank...> kTable;
  return _mm512_permutexvar_epi8(index, _mm512_load_si512(kTable.code));
}

/// The eight signs of which an even number is negative, from the seven that are stored.
struct EvenSigns {
  alignas(64) uint8_t all[128] = {};
  constexpr EvenSigns() {
    for (int seven = 0; seven < 128; ++seven) {
      int odd = 0;
      for (int j = 0; j < 7; ++j) odd ^= seven >> j & 1;
      all[seven] = static_cast<uint8_t>(seven | odd << 7);
    }
  }
};
/// For the lower seven bits of every byte; the eighth does not count.
CARAT_ALWAYS_INLINE __m512i all_signs(__m512i seven) {
  static constexpr EvenSigns kTable;
  return _mm512_permutex2var_epi8(_mm512_load_si512(kTable.all), seven, _mm512_load_si512(kTable.all + 64));
}

/// A register of 64 bytes of which byte b is F::at(b).
template <class F>
CARAT_ALWAYS_INLINE __m512i constant_bytes() {
  static constexpr struct Bytes {
    alignas(64) uint8_t byte[64] = {};
    constexpr Bytes() {
      for (int b = 0; b < 64; ++b) byte[b] = static_cast<uint8_t>(F::at(b));
    }
  } kBytes;
  return _mm512_load_si512(kBytes.byte);
}

template <class F, int first>
struct TwoHalves {
  static constexpr int at(int b) { return F::from(first + b / 32, b % 32); }
};
/// to[f] byte b is a[F::from(f, b)], for f < 4; from(f, b + 32) must be from(f, b) + 128 and from(f, b) below
/// 128 for b < 32.
template <class F>
CARAT_ALWAYS_INLINE void rearrange(const int8_t* a, __m512i* to) {
  __m512i v[4];
  unrolled<4>([&](auto i) CARAT_INLINE_LAMBDA { v[i] = _mm512_loadu_si512(a + 64 * i); });
  unrolled<2>([&](auto p) CARAT_INLINE_LAMBDA {
    const __m512i index = constant_bytes<TwoHalves<F, 2 * p>>();
    const __m512i low = _mm512_permutex2var_epi8(v[0], index, v[1]);
    const __m512i high = _mm512_permutex2var_epi8(v[2], index, v[3]);
    to[2 * p] = _mm512_shuffle_i64x2(low, high, 0x44);
    to[2 * p + 1] = _mm512_shuffle_i64x2(low, high, 0xee);
  });
}

/// Of vectors of eight columns: of vectors k < 32, byte k of each half of a register is column c; x[0] has
/// columns 0 and 2, x[1] 4 and 6, x[2] 1 and 3, x[3] 5 and 7.
template <int first>
struct EveryOtherColumn {  // sixteen bytes each
  static constexpr int at(int b) { return 8 * (b % 16) + first + 2 * (b / 16); }
};
CARAT_ALWAYS_INLINE void rearrange_for_leaves_of_32(const int8_t* a, __m512i* x) {
  __m512i v[4];
  unrolled<4>([&](auto i) CARAT_INLINE_LAMBDA { v[i] = _mm512_loadu_si512(a + 64 * i); });
  unrolled<2>([&](auto odd) CARAT_INLINE_LAMBDA {
    const __m512i index = constant_bytes<EveryOtherColumn<odd>>();
    const __m512i low = _mm512_permutex2var_epi8(v[0], index, v[1]);
    const __m512i high = _mm512_permutex2var_epi8(v[2], index, v[3]);
    x[2 * odd] = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), high);
    x[2 * odd + 1] = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), high);
  });
}
/// Column c, twice.
template <int c>
CARAT_ALWAYS_INLINE __m512i both_rows(const __m512i* x) {
  const auto* half = reinterpret_cast<const char*>(x + c % 2 * 2 + c / 4) + 32 * (c / 2 % 2);
  return _mm512_broadcast_i64x4(load_256(half));
}
/// The sums of the halves of two registers.
CARAT_ALWAYS_INLINE __m128i sums_of_halves(__m512i x, __m512i y) {
  const __m512i low = _mm512_shuffle_i64x2(x, y, 0x88), high = _mm512_shuffle_i64x2(x, y, 0xdd);
  const __m512i parts = _mm512_add_epi32(low, high);  // 128 bits of each half
  const __m256i a = _mm512_castsi512_si256(parts), b = _mm512_extracti64x4_epi64(parts, 1);
  const __m256i c = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
  const __m256i d = _mm256_add_epi32(c, _mm256_shuffle_epi32(c, 0x4e));  // of parts 0, 2 | 1, 3
  return _mm_unpacklo_epi32(_mm256_castsi256_si128(d), _mm256_extracti128_si256(d, 1));
}

}  // namespace
}  // namespace carat
