// The product of quantized weights with rounded activations, written once over a Simd type S and an encoding
// E.
//
// Sixteen output rows lie side by side in the lanes. A tile of up to 256 columns is unpacked into a panel
// (codes of 4 columns per lane, one float scale and offset per leaf and lane) that stays in the first-level
// cache, and meets all tokens of a batch: for one token the panel is as good as registers, for many its cost
// vanishes, and there is one order of accumulation because there is one loop. Panels that cover whole rows
// and a second kernel that works along the columns for single tokens were rejected: both add code, and the
// second a second order.
//
// The order, per output (docs/numerics.md): for each 32 columns b, in order,
//   p = sum over the leaves l of b, in order:  scale_l * (exact integer sum)  + offset_l * (sum of codes of
//   a) y = fma(p, activation scale of b, y)
// where the first product rounds and every later one is an fma.
//
// Included inside a target region, after generic/prelude.h and one simd/<isa>.h.

namespace carat {
namespace {

inline constexpr int64_t kTileColumns = 256;
/// Tokens that share one unpacking of a panel: their sums stay in the first-level cache.
inline constexpr int64_t kTokenBlock = 128;

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
  static constexpr int kZero = kSigned ? 0 : kAffine ? -E::level(0) : 128;
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
  static_assert(!(kHasOffset && kZero != 0));  // one kind of leaf term is enough
  /// Per leaf and token: the integer that the sum starts from, or the sum of activation codes as a float.
  using Term = std::conditional_t<kHasOffset, float, int32_t>;
  static constexpr bool kHasTerms = kHasOffset || kZero != 0;
};

/// The dot product's codes from the codes of a table encoding.
template <class S, class E>
CARAT_ALWAYS_INLINE typename S::I look_up_levels(typename S::I codes) {
  using Facts = CodeFacts<S, E>;
  static constexpr struct Table {
    int8_t entry[16] = {};
    constexpr Table() {
      for (int i = 0; i < 16; ++i)
        entry[i] = static_cast<int8_t>(static_cast<uint8_t>(E::level(i) + Facts::kZero));
    }
  } kTable;
  return S::table_lookup(kTable.entry, codes);
}

struct alignas(64) Panel {
  uint8_t codes[kTileColumns * kPanelRows];      ///< [column / 4, row, column % 4]
  float scale[kTileColumns / 16 * kPanelRows];   ///< [leaf, row]
  float offset[kTileColumns / 16 * kPanelRows];  ///< [leaf, row]
};

/// Unpack<S, E>::block(p, stride, codes, scale, offset) puts the blocks at p + r * stride into a panel at the
/// given places, without reading beyond them.
template <class S, class E>
struct Unpack;

/// Asks for bytes [begin, end) of every row of the panel that follows w, taken as one run of memory: sixteen
/// rows are too many streams for a processor to notice by itself.
CARAT_ALWAYS_INLINE void prefetch_next_panel(const WeightRows& w, int64_t begin, int64_t end) {
  const uint8_t* next = w.data + kPanelRows * w.row_bytes;
  for (int64_t at = kPanelRows * begin; at < kPanelRows * end; at += 64) __builtin_prefetch(next + at, 0, 2);
}
/// Beyond this many tokens a panel is worked on longer than it takes to arrive.
inline constexpr int64_t kPrefetchTokens = 16;

template <class S, class E>
struct QuantizedProductOf {
  using Facts = CodeFacts<S, E>;
  using Term = typename Facts::Term;
  using F = typename S::F;
  using I = typename S::I;

  static constexpr int64_t kTileBytes = kTileColumns / E::kBlock * int64_t{sizeof(typename E::Block)};

  struct Working {
    Panel panel;
    alignas(64) Term terms[kTokenBlock * 16];  ///< [token, leaf of the tile]
    alignas(64) float sums[kTokenBlock * kPanelRows];
    uint8_t rows[kPanelRows * kTileBytes];  ///< blocks of a panel of fewer than 16 rows, others zero
  };

  static CARAT_ALWAYS_INLINE void unpack_tile(const uint8_t* p, int64_t stride, int64_t columns,
                                              Panel& panel) {
    for (int64_t b = 0; b < columns / E::kBlock; ++b)
      Unpack<S, E>::block(p + b * int64_t{sizeof(typename E::Block)}, stride,
                          panel.codes + b * E::kBlock * kPanelRows, panel.scale + b * E::kLeaves * kPanelRows,
                          panel.offset + b * E::kLeaves * kPanelRows);
  }

  static CARAT_ALWAYS_INLINE void leaf_terms(const RoundedActivations& a, int64_t column, int64_t token,
                                             int64_t n, Term* terms) {
    const int32_t* sums = (E::kLeaf == 16 ? a.sums16 : a.sums32) + token * a.sum_stride + column / E::kLeaf;
    for (int64_t t = 0; t < n; ++t) {
      const I sum = S::load_i(sums + t * a.sum_stride);
      if constexpr (Facts::kHasOffset)
        S::store(S::convert(sum), terms + 16 * t);
      else
        S::store_i(S::mul_i(sum, S::set_i(-Facts::kZero)), terms + 16 * t);
    }
  }

  /// Adds one tile's part to the sums of T tokens. `a` and `scales` point at the tile's first column.
  template <int T>
  static CARAT_ALWAYS_INLINE void multiply(const Panel& panel, int64_t columns,
                                           const RoundedActivations& activations, const int8_t* a,
                                           const float* scales, const Term* terms, float* sums) {
    constexpr int kSteps = E::kLeaf / 4, kLeaves = 32 / E::kLeaf;
    constexpr int kFold = S::template kFold<Facts::kLargest>;
    const int64_t a_stride = activations.columns, scale_stride = activations.columns / 32;
    F y[T];
    CARAT_UNROLL
    for (int t = 0; t < T; ++t) y[t] = S::load(sums + 16 * t);
    const uint8_t* codes = panel.codes;
    for (int64_t b = 0; b < columns / 32; ++b) {
      F p[T];
      CARAT_UNROLL
      for (int l = 0; l < kLeaves; ++l) {
        const int64_t leaf = b * kLeaves + l;
        typename S::Dot dot[T];
        CARAT_UNROLL
        for (int t = 0; t < T; ++t)
          dot[t] = S::dot_start(Facts::kZero != 0 ? static_cast<int32_t>(terms[16 * t + leaf]) : 0);
        CARAT_UNROLL
        for (int step = 0; step < kSteps; ++step) {
          const I c = S::load_i(codes);
          codes += 64;
          CARAT_UNROLL
          for (int t = 0; t < T; ++t) {
            S::template dot_step<Facts::kSigned>(dot[t], c,
                                                 a + t * a_stride + 32 * b + E::kLeaf * l + 4 * step);
            if ((step + 1) % kFold == 0 || step + 1 == kSteps) S::dot_fold(dot[t]);
          }
        }
        const F scale = S::load(panel.scale + 16 * leaf);
        CARAT_UNROLL
        for (int t = 0; t < T; ++t) {
          const F sum = S::convert(S::dot_sum(dot[t]));
          p[t] = l == 0 ? S::mul(sum, scale) : S::mul_add(sum, scale, p[t]);
        }
        if constexpr (Facts::kHasOffset) {
          const F offset = S::load(panel.offset + 16 * leaf);
          CARAT_UNROLL
          for (int t = 0; t < T; ++t) p[t] = S::mul_add(S::set(terms[16 * t + leaf]), offset, p[t]);
        }
      }
      CARAT_UNROLL
      for (int t = 0; t < T; ++t) y[t] = S::mul_add(p[t], S::set(scales[t * scale_stride + b]), y[t]);
    }
    CARAT_UNROLL
    for (int t = 0; t < T; ++t) S::store(y[t], sums + 16 * t);
  }

  /// Tokens [t, n) of a block, T at a time, the rest by halves.
  template <int T>
  static CARAT_ALWAYS_INLINE void multiply_all(const Panel& panel, int64_t columns,
                                               const RoundedActivations& a, int64_t first_token,
                                               int64_t column, int64_t t, int64_t n, const Term* terms,
                                               float* sums) {
    for (; t + T <= n; t += T)
      multiply<T>(panel, columns, a, a.codes + (first_token + t) * a.columns + column,
                  a.scales + (first_token + t) * (a.columns / 32) + column / 32, terms + 16 * t,
                  sums + 16 * t);
    if constexpr (T > 1) {
      if (t < n) multiply_all<T / 2>(panel, columns, a, first_token, column, t, n, terms, sums);
    }
  }

  static void run(const WeightRows& w, const RoundedActivations& a, float* y, int64_t y_stride) {
    Working s;
    for (int64_t token = 0; token < a.tokens; token += kTokenBlock) {
      const int64_t n = a.tokens - token < kTokenBlock ? a.tokens - token : kTokenBlock;
      for (int64_t t = 0; t < n; ++t) S::store(S::zero(), s.sums + 16 * t);
      for (int64_t column = 0; column < w.columns; column += kTileColumns) {
        const int64_t columns = w.columns - column < kTileColumns ? w.columns - column : kTileColumns;
        const uint8_t* p = w.data + column / E::kBlock * int64_t{sizeof(typename E::Block)};
        if (a.tokens <= kPrefetchTokens)
          prefetch_next_panel(w, p - w.data,
                              p - w.data + columns / E::kBlock * int64_t{sizeof(typename E::Block)});
        if (w.rows == kPanelRows) {
          unpack_tile(p, w.row_bytes, columns, s.panel);
        } else {
          const int64_t bytes = columns / E::kBlock * int64_t{sizeof(typename E::Block)};
          __builtin_memset(s.rows, 0, sizeof s.rows);
          for (int r = 0; r < w.rows; ++r)
            __builtin_memcpy(s.rows + r * kTileBytes, p + r * w.row_bytes, static_cast<size_t>(bytes));
          unpack_tile(s.rows, kTileBytes, columns, s.panel);
        }
        if constexpr (Facts::kHasTerms) leaf_terms(a, column, token, n, s.terms);
        multiply_all<S::kTokens>(s.panel, columns, a, token, column, 0, n, s.terms, s.sums);
      }
      for (int64_t t = 0; t < n; ++t)
        S::store_n(S::load(s.sums + 16 * t), y + (token + t) * y_stride, w.rows);
    }
  }
};

/// Whether there is a way to unpack E with S here.
template <class S, class E>
concept Unpackable = requires {
  sizeof(Unpack<S, E>);
};

/// Enters the product of E into a table, if its blocks have kBlock columns and there is a way to unpack them.
template <class S, int kBlock, class E>
constexpr void set_product(KernelTable& table) {
  if constexpr (!E::kFloat && E::kBlock == kBlock) {
    // Constants, lest an unoptimised build emits index_of from inside the region.
    if constexpr (Unpackable<S, E>)
      table.quantized[std::integral_constant<size_t, AllEncodings::index_of<E>()>::value] =
          &QuantizedProductOf<S, E>::run;
  }
}
/// The same for each of a list. What is not entered keeps the portable product.
template <class S, int kBlock, class... E>
constexpr void set_products(KernelTable& table, EncodingList<E...>) {
  (set_product<S, kBlock, E>(table), ...);
}

}  // namespace
}  // namespace carat
