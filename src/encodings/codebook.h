// Encodings whose codes name vectors of a codebook: IQ1_S to IQ3_S.
//
// A code belongs to an *atom*, kAtom neighbouring columns whose levels it gives at once; scalar encodings are
// those with atoms of one column. Codebook encodings store d (f16), an odd integer s per leaf and one code
// per atom, and decode as  d * kUnit * s * level, kUnit being a power of two: at most 24 bits, so that no
// order of the products rounds.
//
// A code is, from its lowest bit: the atom's codebook entries (kVector columns each, kEntryBits bits); then
// one bit per column that says "negative" (Signs::free, even), or one bit that says that the shift of the
// levels is downwards (Signs::shift).
#pragma once

#include <array>
#include <cstring>

#include "encodings/codebook_tables.h"
#include "encodings/planes.h"

namespace carat {

/// What a code says besides entries.
enum class Signs {
  free,  ///< the sign of each column
  even,  ///< the same, but of the 8 columns of an atom an even number is negative: 7 bits are stored
  shift  ///< entries have signs; all levels of the atom are one unit higher, or one lower
};

/// The canonical form of a block: see planes.h.
template <int kLeaves, int kAtoms>
struct AtomPlanes {
  uint16_t d = 0;                       ///< f16 bits
  std::array<int8_t, kLeaves> scale{};  ///< odd, 1 .. kScaleHigh
  std::array<uint32_t, kAtoms> code{};

  bool operator==(const AtomPlanes&) const = default;
};

/// What such an encoding's struct derives from. E must also define kName, kGgmlType, Block, pack, unpack;
/// kGrid (of the codebook, an array of packed ranks), kRanks (the level of each rank), kUnit, and
/// expand(code, level[kAtom]).
template <int kLeafColumns, int kAtomColumns, int kVectorColumns, int kGridBits, Signs kSignKind,
          int kMostScale, int kZeroLevel>
struct CodebookFacts {
  static constexpr bool kFloat = false, kGrouped = false, kTwoLevel = true, kOwnScales = false;
  static constexpr Offset kOffset = Offset::none;
  static constexpr int kBlock = 256, kLeaf = kLeafColumns, kLeaves = kBlock / kLeaf;
  static constexpr int kAtom = kAtomColumns, kAtoms = kBlock / kAtom;
  static constexpr int kVector = kVectorColumns, kVectors = kAtom / kVector;  ///< entries of an atom
  static constexpr int kEntryBits = kGridBits, kEntries = 1 << kGridBits;
  static constexpr int kRankBits = kVector == 8 ? 2 : 3;
  static constexpr Signs kSigns = kSignKind;
  static constexpr int kScaleLow = 1, kScaleHigh = kMostScale;
  /// Levels lie between -kZeroLevel and kZeroLevel: to products, codes of a scalar grid around it.
  static constexpr int kCodes = 2 * kZeroLevel;
  CARAT_ENCODING_INLINE constexpr int level(int code) { return code - kZeroLevel; }
  using Planes = AtomPlanes<kLeaves, kAtoms>;
};

/// A codebook's vectors of levels.
template <class E>
struct CodebookLevels {
  int8_t entry[E::kEntries][E::kVector] = {};
  constexpr CodebookLevels() {
    for (int e = 0; e < E::kEntries; ++e)
      for (int j = 0; j < E::kVector; ++j)
        entry[e][j] =
            static_cast<int8_t>(E::kRanks[E::kGrid[e] >> (E::kRankBits * j) & ((1 << E::kRankBits) - 1)]);
  }
};
template <class E>
inline constexpr CodebookLevels<E> kCodebookLevels;

/// The levels of an atom's columns.
template <class E>
CARAT_ENCODING_INLINE void expand_atom(uint32_t code, int8_t* level) {
  for (int v = 0; v < E::kVectors; ++v)
    std::memcpy(level + v * E::kVector,
                kCodebookLevels<E>.entry[code >> (v * E::kEntryBits) & (E::kEntries - 1)], E::kVector);
  const uint32_t bits = code >> (E::kVectors * E::kEntryBits);
  for (int j = 0; j < E::kAtom; ++j) {
    if constexpr (E::kSigns == Signs::shift)
      level[j] = static_cast<int8_t>(level[j] + (bits & 1 ? -1 : 1));
    else
      level[j] = static_cast<int8_t>(bits >> j & 1 ? -level[j] : level[j]);
  }
}

/// The eight signs of which seven are stored.
CARAT_ENCODING_INLINE uint32_t even_signs(uint32_t seven) {
  const uint32_t pairs = seven ^ seven >> 4, two = pairs ^ pairs >> 2;
  return seven | ((two ^ two >> 1) & 1) << 7;
}

}  // namespace carat
