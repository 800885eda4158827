// What a tile of quantized weights becomes before it meets activations, and who unpacks it.
//
// Included inside a target region, after generic/panel.h.

namespace carat {
namespace {

/// How the codes of E enter the dot products of S: as unsigned codes (level + kZero) or as signed levels.
template <class S, class E>
struct CodeFacts {
  static constexpr bool is_affine() {
    for (int c = 0; c < E::kCodes; ++c)
      if (E::level(c) != E::level(0) + c) return false;
    return true;
  }
  static constexpr bool kAffine = is_affine();
  static constexpr bool kSigned = !S::kUnsignedDot && (!kAffine || E::kCodes > 128);
  /// A leaf's zero point is subtracted from its codes: from integers, before any scale.
  static constexpr bool kZeroPoint = E::kOffset == Offset::zero_point;
  static constexpr int kZero = kZeroPoint ? (kSigned ? -128 : 0) : kSigned ? 0 : kAffine ? -E::level(0) : 128;
  /// The largest magnitude of what enters the dot products.
  static constexpr int largest() {
    int m = 0;
    for (int c = 0; c < E::kCodes; ++c) {
      const int level = E::level(c) + kZero;
      m = level > m ? level : -level > m ? -level : m;
    }
    return m;
  }
  static constexpr int kLargest = largest();
  static constexpr bool kHasOffset = E::kOffset != Offset::none;
  static_assert(E::kLeaf == 16 || E::kLeaf == 32);
  static_assert(kTileColumns % E::kBlock == 0);
  static_assert(!(kHasOffset && kZero != 0) || kZeroPoint);  // one kind of leaf term is enough
  /// Sums begin at the codes of the activations, times this.
  static constexpr int kStart = kZeroPoint ? 0 : kZero;
  /// Scales and offsets of leaves are small integers (d and m belong to the block), or floats.
  static constexpr bool kTwoLevel = E::kTwoLevel;
  static_assert(!kTwoLevel || E::kBlock == kTileColumns);
  /// Products of a code and its leaf's scale fit a byte: panels hold these, and no scale is needed while
  /// tokens are multiplied (1.3 times the speed for 512 tokens). Q3_K's would fit too, but cost more to form.
  static constexpr bool kFolded = S::kUnsignedDot && std::is_same_v<E, Q2_K>;
  /// Per leaf and token: the integer that the sum starts from, or the sum of activation codes.
  using Term = std::conditional_t<kHasOffset && !kTwoLevel, float, int32_t>;
  static constexpr bool kHasTerms = kHasOffset || kStart != 0;
};

/// What a leaf adds to a sum, before the scale of the activations: `dot` is the integer sum over its codes,
/// `term` the sum of the activations' codes (read only where there are offsets).
template <class S, class E, class Read>
CARAT_ALWAYS_INLINE typename S::F leaf_part(typename S::I dot, typename S::F scale, typename S::F offset,
                                            Read term) {
  using Facts = CodeFacts<S, E>;
  if constexpr (Facts::kZeroPoint) {
    // Exact: integers below 2^24.
    return S::mul(S::mul_add(S::set(term()), offset, S::convert(dot)), scale);
  } else {
    const typename S::F part = S::mul(S::convert(dot), scale);
    if constexpr (Facts::kHasOffset)
      return S::mul_add(S::set(term()), offset, part);
    else
      return part;
  }
}

/// Where the parameters of a tile's leaves are, for grouped encodings (group_parameters.h). Others have them
/// in their blocks.
template <class S, class E>
struct GroupParameters {
  CARAT_ALWAYS_INLINE explicit GroupParameters(const WeightRows&) {}
  CARAT_ALWAYS_INLINE void reach(int64_t) {}
};
/// The level of what is stored, where that is not a code's number.
template <class E>
constexpr int level_of_stored(int stored) {
  if constexpr (requires { E::stored_level(stored); })
    return E::stored_level(stored);
  else
    return E::level(stored);
}
/// The dot product's codes from what a table encoding stores.
template <class S, class E>
CARAT_ALWAYS_INLINE typename S::I look_up_levels(typename S::I codes) {
  using Facts = CodeFacts<S, E>;
  static constexpr struct Table {
    int8_t entry[16] = {};
    constexpr Table() {
      for (int i = 0; i < 16; ++i)
        entry[i] = static_cast<int8_t>(static_cast<uint8_t>(level_of_stored<E>(i) + Facts::kZero));
    }
  } kTable;
  return S::table_lookup(kTable.entry, codes);
}

/// Of two-level encodings, offsets are the integers of four leaves, one per byte, [leaf / 4, row].
template <class E>
struct alignas(64) Panel {
  using Parameter = std::conditional_t<E::kTwoLevel, int32_t, float>;
  uint8_t codes[kTileColumns * kPanelRows];                ///< [column / 4, row, column % 4]
  Parameter scale[kTileColumns / E::kLeaf * kPanelRows];   ///< [leaf, row]
  Parameter offset[kTileColumns / E::kLeaf * kPanelRows];  ///< [leaf, row]
  float d[kPanelRows], negative_m[kPanelRows];             ///< of two-level encodings
};

/// How a tile of E is unpacked, in groups of kGroup columns:
///   Unpack(rows)           at a tile of sixteen rows, of kTileBytes readable bytes each; of a grouped
///   encoding
///                          Unpack(rows, parameters)
///   codes<g>(sink)         hands over the codes of group g, in order of g: sink.take<k>(codes of columns
///                          4 k .. 4 k + 3 of the group); the k of one leaf come in ascending order
///   raise(k)               codes are handed over times 2 to this power, where they lie in their bytes; 0 for
///                          encodings whose codes pass a table, and for two-level ones with a zero
///                          point
///   scale<leaf>()          of the tile's leaf; of one-level encodings valid after codes() of its group
///   offset<leaf>()         where E has offsets; of two-level encodings offsets<q>() with four leaves, as in
///                          Panel, and
///   d, negative_m          the factors of their integers
template <class S, class E>
struct Unpack;

/// The slot for an instruction set's own product of E with one token whose activations are rounded in groups
/// of 256: run(w, activations, y) with the same result, bit for bit. Filled only where a measurement says so.
template <class S, class E>
struct ProductAlongRows;

}  // namespace
}  // namespace carat
