// The product of quantized weights with rounded activations, written once over a Simd type S and an encoding
// E.
//
// Sixteen output rows lie side by side in the lanes, and columns are taken in tiles of 256. For many tokens a
// tile is unpacked into a panel (codes of 4 columns per lane, one float scale and offset per leaf and lane)
// that stays in the first-level cache and meets all of them. For one token the same unpacking feeds the dot
// products from registers, since storing the panel would cost more than the product (run_one). Both add up
// in the same order. Panels that cover whole rows, and a kernel for single tokens that works along the
// columns, were rejected: the second saves few instructions (what it gains by not transposing codes it pays
// in sums over lanes) and would need a second order.
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

/// body(integral_constant<int, i>) for i from 0 to n - 1, without a loop.
template <class Body, int... i>
CARAT_ALWAYS_INLINE void unrolled_over(Body&& body, std::integer_sequence<int, i...>) {
  (body(std::integral_constant<int, i>{}), ...);
}
template <int n, class Body>
CARAT_ALWAYS_INLINE void unrolled(Body&& body) {
  unrolled_over(body, std::make_integer_sequence<int, n>{});
}

struct alignas(64) Panel {
  uint8_t codes[kTileColumns * kPanelRows];      ///< [column / 4, row, column % 4]
  float scale[kTileColumns / 16 * kPanelRows];   ///< [leaf, row]
  float offset[kTileColumns / 16 * kPanelRows];  ///< [leaf, row]
};

/// How a tile of E is unpacked, in groups of kGroup columns:
///   Unpack(rows, stride)   at the first of sixteen rows of kTileBytes readable bytes
///   codes<g>(sink)         hands over the codes of group g, in order of g: sink.take<k>(codes of columns
///                          4 k .. 4 k + 3 of the group); the k of one leaf come in ascending order
///   scale<leaf>()          of the tile's leaf, valid after codes() of its group; offset<leaf>() where E has
///                          offsets
template <class S, class E>
struct Unpack;

/// Asks for `bytes` bytes from `begin` on of every row of the panel that follows w, taken as one run of
/// memory: sixteen rows are too many streams for a processor to notice by itself.
CARAT_ALWAYS_INLINE void prefetch_next_panel(const WeightRows& w, int64_t begin, int64_t bytes) {
  const uint8_t* next = w.data + kPanelRows * (w.row_bytes + begin);
  for (int64_t at = 0; at < kPanelRows * bytes; at += 64) __builtin_prefetch(next + at, 0, 2);
}
/// Beyond this many tokens a panel is worked on longer than it takes to arrive.
inline constexpr int64_t kPrefetchTokens = 16;

template <class S, class E>
struct QuantizedProductOf {
  using Facts = CodeFacts<S, E>;
  using Term = typename Facts::Term;
  using F = typename S::F;
  using I = typename S::I;

  static constexpr int64_t kBlockBytes = int64_t{sizeof(typename E::Block)};
  static constexpr int64_t kTileBytes = kTileColumns / E::kBlock * kBlockBytes;

  struct Working {
    Panel panel;
    alignas(64) Term terms[kTokenBlock * 16];  ///< [token, leaf of the tile]
    alignas(64) float sums[kTokenBlock * kPanelRows];
    uint8_t rows[kPanelRows * kTileBytes];  ///< blocks of a panel of fewer than 16 rows, others zero
  };

  using Tile = Unpack<S, E>;
  static constexpr int kGroups = int{kTileColumns} / Tile::kGroup;
  static constexpr int kGroupLeaves = Tile::kGroup / E::kLeaf;

  struct PanelSink {
    uint8_t* to;
    template <int k>
    CARAT_ALWAYS_INLINE void take(I codes) {
      S::store_i(codes, to + 64 * k);
    }
  };

  static void unpack_tile(const uint8_t* p, int64_t stride, Panel& panel) {
    Tile tile(p, stride);
    unrolled<kGroups>([&](auto g) CARAT_INLINE_LAMBDA {
      tile.template codes<g>(PanelSink{panel.codes + g * Tile::kGroup * kPanelRows});
      unrolled<kGroupLeaves>([&](auto l) CARAT_INLINE_LAMBDA {
        constexpr int leaf = g * kGroupLeaves + l;
        S::store(tile.template scale<leaf>(), panel.scale + kPanelRows * leaf);
        if constexpr (Facts::kHasOffset)
          S::store(tile.template offset<leaf>(), panel.offset + kPanelRows * leaf);
      });
    });
  }

  /// The dot products of one group with one token.
  struct DotSink {
    const int8_t* a;
    typename S::Dot dot[kGroupLeaves];
    template <int k>
    CARAT_ALWAYS_INLINE void take(I codes) {
      constexpr int kSteps = E::kLeaf / 4, leaf = k / kSteps, step = k % kSteps;
      constexpr int kFold = S::template kFold<Facts::kLargest>;
      S::template dot_step<Facts::kSigned>(dot[leaf], codes, a + 4 * k);
      if constexpr ((step + 1) % kFold == 0 || step + 1 == kSteps) S::dot_fold(dot[leaf]);
    }
  };

  /// Adds a tile's part to the sums of one token; a and scales point at the tile's first column.
  static CARAT_ALWAYS_INLINE F multiply_one(const uint8_t* p, int64_t stride, const int8_t* a,
                                            const float* scales, const Term* terms, F y) {
    Tile tile(p, stride);
    unrolled<kGroups>([&](auto g) CARAT_INLINE_LAMBDA {
      DotSink sink;
      sink.a = a + g * Tile::kGroup;
      unrolled<kGroupLeaves>([&](auto l) CARAT_INLINE_LAMBDA {
        sink.dot[l] = S::dot_start(Facts::kZero != 0 ? static_cast<int32_t>(terms[g * kGroupLeaves + l]) : 0);
      });
      tile.template codes<g>(sink);
      unrolled<Tile::kGroup / 32>([&](auto b) CARAT_INLINE_LAMBDA {
        F part;
        unrolled<32 / E::kLeaf>([&](auto l) CARAT_INLINE_LAMBDA {
          constexpr int in_group = b * (32 / E::kLeaf) + l, leaf = g * kGroupLeaves + in_group;
          const F sum = S::convert(S::dot_sum(sink.dot[in_group]));
          const F scale = tile.template scale<leaf>();
          part = l == 0 ? S::mul(sum, scale) : S::mul_add(sum, scale, part);
          if constexpr (Facts::kHasOffset)
            part = S::mul_add(S::set(terms[leaf]), tile.template offset<leaf>(), part);
        });
        y = S::mul_add(part, S::set(scales[g * (Tile::kGroup / 32) + b]), y);
      });
    });
    return y;
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
  static void multiply(const Panel& panel, int64_t columns, const RoundedActivations& activations,
                       const int8_t* a, const float* scales, const Term* terms, float* sums) {
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

  struct Rows {
    const uint8_t* p;
    int64_t stride;
  };
  /// Where sixteen rows of a whole tile can be read: in place, or, of an incomplete panel or tile, in a copy
  /// padded with zeros.
  static Rows tile_rows(const WeightRows& w, int64_t column, int64_t columns, Working& s) {
    const uint8_t* p = w.data + column / E::kBlock * int64_t{sizeof(typename E::Block)};
    if (w.rows == kPanelRows && columns == kTileColumns) return {p, w.row_bytes};
    const int64_t bytes = columns / E::kBlock * int64_t{sizeof(typename E::Block)};
    __builtin_memset(s.rows, 0, sizeof s.rows);
    for (int r = 0; r < w.rows; ++r)
      __builtin_memcpy(s.rows + r * kTileBytes, p + r * w.row_bytes, static_cast<size_t>(bytes));
    return {s.rows, kTileBytes};
  }

  static void run_many(const WeightRows& w, const RoundedActivations& a, float* y, int64_t y_stride) {
    Working s;
    for (int64_t token = 0; token < a.tokens; token += kTokenBlock) {
      const int64_t n = a.tokens - token < kTokenBlock ? a.tokens - token : kTokenBlock;
      for (int64_t t = 0; t < n; ++t) S::store(S::zero(), s.sums + 16 * t);
      for (int64_t column = 0; column < w.columns; column += kTileColumns) {
        const int64_t columns = w.columns - column < kTileColumns ? w.columns - column : kTileColumns;
        if (a.tokens <= kPrefetchTokens) prefetch_next_panel(w, column / E::kBlock * kBlockBytes, kTileBytes);
        const Rows rows = tile_rows(w, column, columns, s);
        unpack_tile(rows.p, rows.stride, s.panel);
        if constexpr (Facts::kHasTerms) leaf_terms(a, column, token, n, s.terms);
        multiply_all<S::kTokens>(s.panel, columns, a, token, column, 0, n, s.terms, s.sums);
      }
      for (int64_t t = 0; t < n; ++t)
        S::store_n(S::load(s.sums + 16 * t), y + (token + t) * y_stride, w.rows);
    }
  }

  static void run_one(const WeightRows& w, const RoundedActivations& a, float* y) {
    Working s;
    F sum = S::zero();
    int64_t column = 0;
    for (; column + kTileColumns <= w.columns; column += kTileColumns) {
      prefetch_next_panel(w, column / E::kBlock * kBlockBytes, kTileBytes);
      const Rows rows = tile_rows(w, column, kTileColumns, s);
      if constexpr (Facts::kHasTerms) leaf_terms(a, column, 0, 1, s.terms);
      sum = multiply_one(rows.p, rows.stride, a.codes + column, a.scales + column / 32, s.terms, sum);
    }
    if (column < w.columns) {
      const Rows rows = tile_rows(w, column, w.columns - column, s);
      unpack_tile(rows.p, rows.stride, s.panel);
      if constexpr (Facts::kHasTerms) leaf_terms(a, column, 0, 1, s.terms);
      S::store(sum, s.sums);
      multiply<1>(s.panel, w.columns - column, a, a.codes + column, a.scales + column / 32, s.terms, s.sums);
      sum = S::load(s.sums);
    }
    S::store_n(sum, y, w.rows);
  }

  static void run(const WeightRows& w, const RoundedActivations& a, float* y, int64_t y_stride) {
    if (a.tokens == 1)
      run_one(w, a, y);
    else
      run_many(w, a, y, y_stride);
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
