// Unpacking encodings whose codes name vectors of a codebook (encodings/codebook.h): one row after the other
// by table, a vector of levels at a time, into a tile that is then read across the rows like codes in a file.
//
// Rejected: gathering 16 rows' entries by vpgatherdd, which on Zen 4 takes 1.5 times as long as loads do.
//
// Included inside a target region after generic/quantized_product.h; in portable code before
// generic/unpack_planes.h.

namespace carat {
namespace {

/// A vector's codes as they enter products, in one integer: levels + kZero of codebooks with signs,
/// magnitudes of those whose signs are stored apart.
template <class E>
struct VectorCodes {
  using Word = std::conditional_t<E::kVector == 8, uint64_t, uint32_t>;
  Word entry[E::kEntries] = {};
  constexpr VectorCodes() {
    for (int e = 0; e < E::kEntries; ++e)
      for (int j = 0; j < E::kVector; ++j) {
        const int level = kCodebookLevels<E>.entry[e][j] - (E::kSigns == Signs::shift ? E::level(0) : 0);
        entry[e] |= static_cast<Word>(level) << (8 * j);
      }
  }
};
template <class E>
static constexpr VectorCodes<E> kVectorCodes;

/// Byte j is kAll where bit j of the index is set, else 0.
template <int kAll>
struct SpreadSigns {
  uint64_t bytes[256] = {};
  constexpr SpreadSigns() {
    for (int s = 0; s < 256; ++s)
      for (int j = 0; j < 8; ++j)
        if (s >> j & 1) bytes[s] |= static_cast<uint64_t>(kAll) << (8 * j);
  }
};
template <int kAll>
static constexpr SpreadSigns<kAll> kSpreadSigns;

/// The codes of an atom's columns, from the lowest byte: level + kZero, kZero being a power of two above all
/// levels.
template <class E>
CARAT_ALWAYS_INLINE typename VectorCodes<E>::Word vector_codes(uint32_t entry, uint32_t rest) {
  using Word = typename VectorCodes<E>::Word;
  constexpr int kZero = -E::level(0);
  const Word x = kVectorCodes<E>.entry[entry];
  constexpr Word kOnes = static_cast<Word>(0x0101010101010101u);
  if constexpr (E::kSigns == Signs::shift) {
    return x + kOnes - 2 * kOnes * rest;
  } else {
    // A magnitude m below kZero becomes kZero + m, or kZero - m = (m ^ n) + kZero - n with n = 2 kZero - 1;
    // no byte borrows from the next.
    const Word n = static_cast<Word>(kSpreadSigns<2 * kZero - 1>.bytes[rest]);
    return (x ^ n) + kZero * kOnes - n;
  }
}

template <class S, class E>
requires(E::kAtom > 1) struct Unpack<S, E> {
  using I = typename S::I;
  using F = typename S::F;
  static constexpr int kGroup = 32;
  static constexpr int raise(int) { return 0; }
  /// Rows of the tile lie in different sets of the first-level cache.
  static constexpr int64_t kStride = kTileColumns + 64;

  F d, negative_m;
  alignas(64) int32_t scales[E::kLeaves * kPanelRows];  ///< [leaf, row]
  alignas(64) uint8_t tile[kPanelRows * kStride];

  CARAT_ALWAYS_INLINE explicit Unpack(const SixteenRows& rows) {
    alignas(32) uint16_t halves[kPanelRows];
    for (int row = 0; row < kPanelRows; ++row) {
      typename E::Planes planes;
      E::unpack(*reinterpret_cast<const typename E::Block*>(rows.row<0>() + row * rows.distance<1>()),
                planes);
      halves[row] = planes.d;
      for (int leaf = 0; leaf < E::kLeaves; ++leaf)
        scales[leaf * kPanelRows + row] = planes.scale[static_cast<size_t>(leaf)];
      for (int a = 0; a < E::kAtoms; ++a) {
        const uint32_t code = planes.code[static_cast<size_t>(a)];
        const uint32_t rest = code >> (E::kVectors * E::kEntryBits);
        for (int v = 0; v < E::kVectors; ++v) {
          const uint32_t entry = code >> (v * E::kEntryBits) & (E::kEntries - 1);
          const auto codes = vector_codes<E>(entry, rest >> (v * E::kVector) & ((1u << E::kVector) - 1));
          __builtin_memcpy(tile + row * kStride + a * E::kAtom + v * E::kVector, &codes, sizeof codes);
        }
      }
    }
    d = S::mul(S::load_f16(halves), S::set(E::kUnit));
    negative_m = S::zero();
  }

  template <int leaf>
  CARAT_ALWAYS_INLINE I scale() const {
    return S::load_i(scales + kPanelRows * leaf);
  }

  template <int g, class Sink>
  CARAT_ALWAYS_INLINE void codes(Sink&& sink) {
    const SixteenRows rows(tile, kStride);
    unrolled<2>([&](auto half) CARAT_INLINE_LAMBDA {
      I q[4];
      S::load_rows(rows + (32 * g + 16 * half), q);
      unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA { sink.template take<4 * half + j>(q[j]); });
    });
  }
};

}  // namespace
}  // namespace carat
