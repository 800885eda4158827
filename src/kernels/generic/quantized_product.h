// The product of quantized weights with rounded activations, written once over a Simd type S and an encoding
// E.
//
// Sixteen output rows lie side by side in the lanes, and columns are taken in tiles of 256. For many tokens a
// tile is unpacked into a panel (codes of 4 columns per lane, one scale and offset per leaf and lane) that
// stays in the first-level cache and meets all of them. For one token the same unpacking feeds the dot
// products from registers, since storing the panel would cost more than the product (run_one). Both add up in
// the same order. Rejected: panels that cover whole rows; and, but for Q6_K and codebooks, kernels for single
// tokens that work along the columns: what they gain by not transposing codes they pay in sums over lanes.
//
// The order, per output (docs/numerics.md). Encodings with one level of scales, for each leaf in order:
//   p = scale * (exact integer sum),  then p = fma(sum of codes of a, offset, p) if there are offsets
//   y = fma(p, activation scale, y)
// where leaves with a zero point have it in the integer sum, over (q - zero) * a. Encodings whose leaves have
// integer scales s (and t), for each group of activations (256 or 32 columns):
//   p = d * (exact integer sum of s * leaf sums),  then p = fma(exact integer sum of t * sums of a, -m, p)
//   y = fma(p, activation scale, y)
//
// Included inside a target region, after generic/quantized_panel.h.

namespace carat {
namespace {

template <class S, class E>
struct QuantizedProductOf {
  using Facts = CodeFacts<S, E>;
  using Term = typename Facts::Term;
  using F = typename S::F;
  using I = typename S::I;

  static constexpr int64_t kBlockBytes = int64_t{sizeof(typename E::Block)};
  static constexpr int64_t kTileBytes = kTileColumns / E::kBlock * kBlockBytes;

  struct Working {
    Panel<E> panel;
    alignas(64) Term terms[kTokenBlock * 16];  ///< [token, leaf of the tile]
    alignas(64) float sums[kTokenBlock * kPanelRows];
    uint8_t rows[kPanelRows * kTileBytes];  ///< blocks of a panel of fewer than 16 rows, others zero
  };

  using Tile = Unpack<S, E>;
  using Parameters = GroupParameters<S, E>;
  static CARAT_ALWAYS_INLINE Tile tile_at(const SixteenRows& rows, [[maybe_unused]] const Parameters& p) {
    if constexpr (E::kGrouped)
      return Tile(rows, p);
    else
      return Tile(rows);
  }
  static constexpr int kGroups = int{kTileColumns} / Tile::kGroup;
  static constexpr int kGroupLeaves = Tile::kGroup / E::kLeaf;

  /// Without the factor 2 to the power of `raise`.
  template <int raise>
  static CARAT_ALWAYS_INLINE I lowered(I x) {
    if constexpr (raise > 0)
      return S::template shift_right<raise>(x);
    else
      return x;
  }

  /// Requests for the next panel while group g is unpacked.
  template <int g>
  struct Ahead {
    const SixteenRows& rows;
    const uint8_t* next;
    template <int k>
    CARAT_ALWAYS_INLINE void ask() const {
      constexpr int kBetween = 256 / Tile::kGroup;
      if constexpr (k < 8 && k % kBetween == 0)
        ask_for_next_panel<g * Tile::kGroup / 32 + k / kBetween, 8, kTileBytes>(rows, next);
    }
  };

  template <int g>
  struct PanelSink {
    uint8_t* to;
    Ahead<g> ahead;
    const Tile& tile;
    template <int k>
    CARAT_ALWAYS_INLINE void take(I codes) {
      ahead.template ask<k>();
      codes = lowered<Tile::raise(k)>(codes);
      if constexpr (Facts::kFolded) {
        const I scale = tile.template scale<(g * Tile::kGroup + 4 * k) / E::kLeaf>();
        codes = S::mul_16(codes, S::or_i(scale, S::template shift_left<16>(scale)));
      }
      S::store_i(codes, to + 64 * k);
    }
  };

  static CARAT_ALWAYS_INLINE void store(F x, float* p) { S::store(x, p); }
  static CARAT_ALWAYS_INLINE void store(I x, int32_t* p) { S::store_i(x, p); }

  static void unpack_tile(const SixteenRows& rows, int64_t at, const uint8_t* next_panel,
                          const Parameters& parameters, Panel<E>& panel) {
    Tile tile = tile_at(rows + at, parameters);
    const uint8_t* next = next_panel + 2 * at;
    unrolled<kGroups>([&](auto g) CARAT_INLINE_LAMBDA {
      tile.template codes<g>(PanelSink<g>{panel.codes + g * Tile::kGroup * kPanelRows, {rows, next}, tile});
      unrolled<kGroupLeaves>([&](auto l) CARAT_INLINE_LAMBDA {
        constexpr int leaf = g * kGroupLeaves + l;
        if constexpr (!Facts::kFolded) store(tile.template scale<leaf>(), panel.scale + kPanelRows * leaf);
        if constexpr (Facts::kHasOffset && !Facts::kTwoLevel)
          S::store(tile.template offset<leaf>(), panel.offset + kPanelRows * leaf);
      });
    });
    if constexpr (Facts::kTwoLevel) {
      S::store(tile.d, panel.d);
      if constexpr (Facts::kHasOffset) {
        S::store(tile.negative_m, panel.negative_m);
        unrolled<E::kLeaves / 4>([&](auto q) CARAT_INLINE_LAMBDA {
          S::store_i(tile.template offsets<q>(), panel.offset + kPanelRows * q);
        });
      }
    }
  }

  /// The dot products of group g with one token.
  template <int g>
  struct DotSink {
    const int8_t* a;
    Ahead<g> ahead;
    typename S::Dot dot[kGroupLeaves], raised[kGroupLeaves];
    template <int k>
    CARAT_ALWAYS_INLINE void take(I codes) {
      ahead.template ask<k>();
      constexpr int kSteps = E::kLeaf / 4, leaf = k / kSteps, step = k % kSteps;
      constexpr int kFold = S::template kFold<Facts::kLargest>;
      constexpr bool kEnd = (step + 1) % kFold == 0 || step + 1 == kSteps;
      if constexpr (S::kUnsignedDot && Tile::raise(k) > 0) {
        S::template dot_step<false>(raised[leaf], codes, a + 4 * k);
      } else {
        S::template dot_step<Facts::kSigned>(dot[leaf], lowered<Tile::raise(k)>(codes), a + 4 * k);
        if constexpr (kEnd) S::dot_fold(dot[leaf]);
      }
    }
  };

  /// Sums of activation codes are split into 64 h + l, which fit bytes, so that four leaves' offsets meet
  /// them in one dot product each: l of 16 leaves first, then h.
  static CARAT_ALWAYS_INLINE I offset_sum(I total, I four_offsets, const Term* terms, int q) {
    const int8_t* parts = reinterpret_cast<const int8_t*>(terms) + 4 * q;
    typename S::Dot l = S::dot_start(0), h = S::dot_start(0);
    S::template dot_step<false>(l, four_offsets, parts);
    S::template dot_step<false>(h, four_offsets, parts + 16);
    S::dot_fold(l);
    S::dot_fold(h);
    return S::add_i(total, S::add_i(S::dot_sum(l), S::template shift_left<6>(S::dot_sum(h))));
  }
  /// The leaves of four that lie in the 32 columns up to `end`, as a mask of their bytes.
  static constexpr int32_t bytes_of_32(int end) {
    const int last = end / E::kLeaf - 1;
    return E::kLeaf == 32 ? static_cast<int32_t>(0xffu << 8 * (last % 4))
                          : static_cast<int32_t>(0xffffu << 8 * (last % 4 - 1));
  }

  /// What a group of activations adds to a sum, from the exact integers of a two-level encoding.
  static CARAT_ALWAYS_INLINE F part_of(I total, I offsets, F d, F negative_m) {
    const F part = S::mul(S::convert(total), d);
    if constexpr (Facts::kHasOffset)
      return S::mul_add(S::convert(offsets), negative_m, part);
    else
      return part;
  }

  /// The power of two that all codes of a leaf carry until the end of the group of activations, or 0.
  static constexpr int leaf_raise(int leaf) {
    const int k = leaf % kGroupLeaves * E::kLeaf / 4;
    const bool even = Tile::raise(k) == Tile::raise(k + E::kLeaf / 4 - 1);
    return S::kUnsignedDot && Facts::kTwoLevel && even ? Tile::raise(k) : 0;
  }

  /// Adds the part of the tile at byte `at` of the rows to the sums of one token; a and scales point at the
  /// tile's first column. kNarrow: activations are rounded in groups of 32, not 256.
  template <bool kNarrow>
  static CARAT_ALWAYS_INLINE F multiply_one(const SixteenRows& rows, int64_t at, const uint8_t* next_panel,
                                            const Parameters& parameters, const int8_t* a,
                                            const float* scales, const Term* terms, F y) {
    Tile tile = tile_at(rows + at, parameters);
    const uint8_t* next = next_panel + 2 * at;
    [[maybe_unused]] I totals[4];  // by half the raise
    unrolled<4>([&](auto i) CARAT_INLINE_LAMBDA { totals[i] = S::set_i(0); });
    unrolled<kGroups>([&](auto g) CARAT_INLINE_LAMBDA {
      DotSink<g> sink{a + g * Tile::kGroup, {rows, next}, {}, {}};
      unrolled<kGroupLeaves>([&](auto l) CARAT_INLINE_LAMBDA {
        sink.dot[l] =
            S::dot_start(Facts::kStart != 0 ? static_cast<int32_t>(terms[g * kGroupLeaves + l]) : 0);
        sink.raised[l] = S::dot_start(0);
      });
      tile.template codes<g>(sink);
      unrolled<kGroupLeaves>([&](auto l) CARAT_INLINE_LAMBDA {
        constexpr int leaf = g * kGroupLeaves + l, columns = (leaf + 1) * E::kLeaf;
        constexpr int kRaise = leaf_raise(leaf), kLastRaise = Tile::raise((l + 1) * (E::kLeaf / 4) - 1);
        I sum = S::dot_sum(sink.dot[l]);
        if constexpr (kRaise > 0)
          sum = S::dot_sum(sink.raised[l]);
        else if constexpr (S::kUnsignedDot && kLastRaise > 0)
          sum = S::add_i(sum, S::template shift_right_signed<kLastRaise>(S::dot_sum(sink.raised[l])));
        if constexpr (Facts::kTwoLevel) {
          totals[kRaise / 2] = S::add_i(totals[kRaise / 2], S::mul_i(sum, tile.template scale<leaf>()));
          if constexpr (columns == kTileColumns || (kNarrow && columns % 32 == 0)) {
            I offsets = S::set_i(0);
            if constexpr (Facts::kHasOffset && kNarrow)
              offsets = offset_sum(
                  offsets, S::and_i(tile.template offsets<leaf / 4>(), S::set_i(bytes_of_32(columns))), terms,
                  leaf / 4);
            else if constexpr (Facts::kHasOffset)
              unrolled<E::kLeaves / 4>([&](auto q) CARAT_INLINE_LAMBDA {
                offsets = offset_sum(offsets, tile.template offsets<q>(), terms, q);
              });
            I total = totals[0];
            total = S::add_i(total, S::template shift_right_signed<2>(totals[1]));
            total = S::add_i(total, S::template shift_right_signed<4>(totals[2]));
            total = S::add_i(total, S::template shift_right_signed<6>(totals[3]));
            y = S::mul_add(part_of(total, offsets, tile.d, negative_m_of(tile)),
                           S::set(scales[columns / 32 - 1]), y);
            unrolled<4>([&](auto i) CARAT_INLINE_LAMBDA { totals[i] = S::set_i(0); });
          }
        } else {
          const F part = leaf_part<S, E>(sum, tile.template scale<leaf>(), offset_of<leaf>(tile),
                                         [&]() CARAT_INLINE_LAMBDA { return terms[leaf]; });
          y = S::mul_add(part, S::set(scales[leaf * E::kLeaf / 32]), y);
        }
      });
    });
    return y;
  }
  template <int leaf>
  static CARAT_ALWAYS_INLINE F offset_of(const Tile& tile) {
    if constexpr (Facts::kHasOffset)
      return tile.template offset<leaf>();
    else
      return S::zero();
  }
  static CARAT_ALWAYS_INLINE F negative_m_of(const Tile& tile) {
    if constexpr (Facts::kHasOffset)
      return tile.negative_m;
    else
      return S::zero();
  }

  static CARAT_ALWAYS_INLINE void leaf_terms(const RoundedActivations& a, int64_t column, int64_t token,
                                             int64_t n, Term* terms) {
    const int32_t* sums = (E::kLeaf == 16 ? a.sums16 : a.sums32) + token * a.sum_stride + column / E::kLeaf;
    for (int64_t t = 0; t < n; ++t) {
      const I sum = S::load_i(sums + t * a.sum_stride);
      if constexpr (!Facts::kHasOffset) {
        S::store_i(S::mul_i(sum, S::set_i(-Facts::kZero)), terms + 16 * t);
      } else if constexpr (Facts::kTwoLevel) {
        int8_t* parts = reinterpret_cast<int8_t*>(terms + 16 * t);
        S::store_i8(S::and_i(sum, S::set_i(63)), parts);
        S::store_i8(S::template shift_right_signed<6>(sum), parts + 16);
      } else {
        S::store(S::convert(sum), terms + 16 * t);
      }
    }
  }

  /// Adds the products of kColumns columns and T tokens to T sums.
  template <int kColumns, int T>
  static CARAT_ALWAYS_INLINE void add_products(const uint8_t* codes, const int8_t* a, typename S::Dot* dot) {
    constexpr int kSteps = kColumns / 4;
    constexpr int kFold = S::template kFold<Facts::kLargest>;
    for (int first = 0; first < kSteps; first += 16) {
      CARAT_UNROLL
      for (int i = 0; i < (kSteps < 16 ? kSteps : 16); ++i) {
        const int step = first + i;
        const I c = S::load_i(codes + 64 * step);
        CARAT_UNROLL
        for (int t = 0; t < T; ++t) {
          S::template dot_step<Facts::kSigned>(dot[t], c, a + t * kTileColumns + 4 * step);
          if ((i + 1) % kFold == 0 || step + 1 == kSteps) S::dot_fold(dot[t]);
        }
      }
    }
  }

  /// The integer sums of one leaf and T tokens.
  template <int T>
  static CARAT_ALWAYS_INLINE void leaf_sums(const uint8_t* codes, const int8_t* a, const Term* terms,
                                            I* sums) {
    typename S::Dot dot[T];
    CARAT_UNROLL
    for (int t = 0; t < T; ++t)
      dot[t] = S::dot_start(Facts::kStart != 0 ? static_cast<int32_t>(terms[16 * t]) : 0);
    add_products<E::kLeaf, T>(codes, a, dot);
    CARAT_UNROLL
    for (int t = 0; t < T; ++t) sums[t] = S::dot_sum(dot[t]);
  }

  /// Adds the part of the group of activations that ends at column `end` to the sums of T tokens.
  template <int T>
  static CARAT_ALWAYS_INLINE void add_group(const Panel<E>& panel, int end, bool narrow, const I* total,
                                            const float* scales, int64_t scale_stride, const Term* terms,
                                            float* sums) {
    I offsets[T];
    CARAT_UNROLL
    for (int t = 0; t < T; ++t) offsets[t] = S::set_i(0);
    if constexpr (Facts::kHasOffset) {
      const int last = (end / E::kLeaf - 1) / 4;
      for (int q = narrow ? last : 0; q <= last; ++q) {
        const I mask = S::set_i(narrow ? bytes_of_32(end) : -1);
        const I four = S::and_i(S::load_i(panel.offset + kPanelRows * q), mask);
        CARAT_UNROLL
        for (int t = 0; t < T; ++t) offsets[t] = offset_sum(offsets[t], four, terms + 16 * t, q);
      }
    }
    CARAT_UNROLL
    for (int t = 0; t < T; ++t) {
      const F part = part_of(total[t], offsets[t], S::load(panel.d), S::load(panel.negative_m));
      const F scale_of_a = S::set(scales[t * scale_stride + end / 32 - 1]);
      S::store(S::mul_add(part, scale_of_a, S::load(sums + 16 * t)), sums + 16 * t);
    }
  }

  /// The same from a folded panel, whose kGroup columns up to `end` are a group of activations.
  template <int kGroup, int T>
  static CARAT_ALWAYS_INLINE void add_folded(const Panel<E>& panel, int end, const int8_t* a,
                                             const float* scales, int64_t scale_stride, const Term* terms,
                                             float* sums) {
    typename S::Dot dot[T];
    CARAT_UNROLL
    for (int t = 0; t < T; ++t) dot[t] = S::dot_start(0);
    add_products<kGroup, T>(panel.codes + (end - kGroup) * kPanelRows, a + end - kGroup, dot);
    I total[T];
    CARAT_UNROLL
    for (int t = 0; t < T; ++t) total[t] = S::dot_sum(dot[t]);
    add_group<T>(panel, end, kGroup == 32, total, scales, scale_stride, terms, sums);
  }

  /// Adds one tile's part to the sums of T tokens. `a` and `scales` point at the tile's first column.
  template <int T>
  static void multiply(const Panel<E>& panel, int64_t columns, const RoundedActivations& activations,
                       const int8_t* a, const float* scales, const Term* terms, float* sums) {
    const int64_t scale_stride = activations.columns / 32;
    if constexpr (Facts::kFolded) {
      if (activations.group == 32) {
        for (int end = 32; end <= kTileColumns; end += 32)
          add_folded<32, T>(panel, end, a, scales, scale_stride, terms, sums);
      } else {
        add_folded<kTileColumns, T>(panel, kTileColumns, a, scales, scale_stride, terms, sums);
      }
    } else if constexpr (Facts::kTwoLevel) {
      const bool narrow = activations.group == 32;
      I total[T];
      CARAT_UNROLL
      for (int t = 0; t < T; ++t) total[t] = S::set_i(0);
      for (int leaf = 0; leaf < E::kLeaves; ++leaf) {
        I sum[T];
        leaf_sums<T>(panel.codes + leaf * E::kLeaf * kPanelRows, a + leaf * E::kLeaf, terms + leaf, sum);
        const I scale = S::load_i(panel.scale + kPanelRows * leaf);
        CARAT_UNROLL
        for (int t = 0; t < T; ++t) total[t] = S::add_i(total[t], S::mul_i(sum[t], scale));
        const int end = (leaf + 1) * E::kLeaf;
        if (end == kTileColumns || (narrow && end % 32 == 0)) {
          add_group<T>(panel, end, narrow, total, scales, scale_stride, terms, sums);
          CARAT_UNROLL
          for (int t = 0; t < T; ++t) total[t] = S::set_i(0);
        }
      }
    } else {
      F y[T];
      CARAT_UNROLL
      for (int t = 0; t < T; ++t) y[t] = S::load(sums + 16 * t);
      for (int64_t leaf = 0; leaf < columns / E::kLeaf; ++leaf) {
        I dot[T];
        leaf_sums<T>(panel.codes + leaf * E::kLeaf * kPanelRows, a + leaf * E::kLeaf, terms + leaf, dot);
        const int64_t of_32 = leaf * E::kLeaf / 32;
        const F scale = S::load(panel.scale + kPanelRows * leaf);
        F offset = S::zero();
        if constexpr (Facts::kHasOffset) offset = S::load(panel.offset + kPanelRows * leaf);
        F p[T];
        CARAT_UNROLL
        for (int t = 0; t < T; ++t)
          p[t] = leaf_part<S, E>(dot[t], scale, offset,
                                 [&]() CARAT_INLINE_LAMBDA { return terms[16 * t + leaf]; });
        CARAT_UNROLL
        for (int t = 0; t < T; ++t) y[t] = S::mul_add(p[t], S::set(scales[t * scale_stride + of_32]), y[t]);
      }
      CARAT_UNROLL
      for (int t = 0; t < T; ++t) S::store(y[t], sums + 16 * t);
    }
  }

  /// Tokens [t, n) of a block, T at a time, the rest by halves.
  template <int T>
  static CARAT_ALWAYS_INLINE void multiply_all(const Panel<E>& panel, int64_t columns,
                                               const RoundedActivations& a, int64_t first_token,
                                               int64_t column, int64_t t, int64_t n, const Term* terms,
                                               float* sums) {
    for (; t + T <= n; t += T)
      multiply<T>(
          panel, columns, a, a.codes + (column / kTileColumns * a.tokens + first_token + t) * kTileColumns,
          a.scales + (first_token + t) * (a.columns / 32) + column / 32, terms + 16 * t, sums + 16 * t);
    if constexpr (T > 1) {
      if (t < n) multiply_all<T / 2>(panel, columns, a, first_token, column, t, n, terms, sums);
    }
  }

  static constexpr int64_t bytes_of(int64_t columns) { return columns / E::kBlock * kBlockBytes; }

  /// Of an incomplete panel or tile: a copy padded with zeros.
  static void unpack_copy(const WeightRows& w, int64_t column, int64_t columns, const Parameters& parameters,
                          Working& s) {
    const uint8_t* codes = w.data + w.groups.codes_at + bytes_of(column);
    __builtin_memset(s.rows, 0, sizeof s.rows);
    for (int r = 0; r < w.rows; ++r)
      __builtin_memcpy(s.rows + r * kTileBytes, codes + r * w.row_bytes,
                       static_cast<size_t>(bytes_of(columns)));
    unpack_tile(SixteenRows(s.rows, kTileBytes), 0, s.rows, parameters, s.panel);
  }

  static void run_many(const WeightRows& w, const RoundedActivations& a, float* y, int64_t y_stride) {
    Working s;
    const int64_t before = w.groups.codes_at;
    const SixteenRows rows(w.data + before, w.row_bytes);
    for (int64_t token = 0; token < a.tokens; token += kTokenBlock) {
      const int64_t n = a.tokens - token < kTokenBlock ? a.tokens - token : kTokenBlock;
      for (int64_t t = 0; t < n; ++t) S::store(S::zero(), s.sums + 16 * t);
      Parameters parameters(w);
      for (int64_t column = 0; column < w.columns; column += kTileColumns) {
        const int64_t columns = w.columns - column < kTileColumns ? w.columns - column : kTileColumns;
        parameters.reach(column);
        if (w.rows == kPanelRows && columns == kTileColumns)
          unpack_tile(rows, bytes_of(column), w.next + before, parameters, s.panel);
        else
          unpack_copy(w, column, columns, parameters, s);
        if constexpr (Facts::kHasTerms) leaf_terms(a, column, token, n, s.terms);
        multiply_all<S::kTokens>(s.panel, columns, a, token, column, 0, n, s.terms, s.sums);
      }
      for (int64_t t = 0; t < n; ++t)
        S::store_n(S::load(s.sums + 16 * t), y + (token + t) * y_stride, w.rows);
    }
  }

  template <bool kNarrow>
  static void run_one(const WeightRows& w, const RoundedActivations& a, float* y) {
    Working s;
    const int64_t before = w.groups.codes_at;
    const SixteenRows rows(w.data + before, w.row_bytes);
    Parameters parameters(w);
    F sum = S::zero();
    const int64_t whole = w.rows == kPanelRows ? w.columns / kTileColumns * kTileColumns : 0;
    for (int64_t column = 0; column < whole; column += kTileColumns) {
      if constexpr (Facts::kHasTerms) leaf_terms(a, column, 0, 1, s.terms);
      parameters.reach(column);
      sum = multiply_one<kNarrow>(rows, bytes_of(column), w.next + before, parameters,
                                  a.codes + column / kTileColumns * kTileColumns, a.scales + column / 32,
                                  s.terms, sum);
    }
    S::store(sum, s.sums);
    for (int64_t column = whole; column < w.columns; column += kTileColumns) {
      const int64_t columns = w.columns - column < kTileColumns ? w.columns - column : kTileColumns;
      parameters.reach(column);
      unpack_copy(w, column, columns, parameters, s);
      if constexpr (Facts::kHasTerms) leaf_terms(a, column, 0, 1, s.terms);
      multiply<1>(s.panel, columns, a, a.codes + column / kTileColumns * kTileColumns, a.scales + column / 32,
                  s.terms, s.sums);
    }
    S::store_n(S::load(s.sums), y, w.rows);
  }

  static void run(const WeightRows& w, const RoundedActivations& a, float* y, int64_t y_stride) {
    if constexpr (S::kRegisters) {
      if (a.tokens == 1) {
        if constexpr (requires { sizeof(ProductAlongRows<S, E>); }) {
          if (a.group == 256) return ProductAlongRows<S, E>::run(w, a, y);
        }
        constexpr bool kMayBeNarrow = Facts::kTwoLevel;
        return kMayBeNarrow && a.group == 32 ? run_one<kMayBeNarrow>(w, a, y) : run_one<false>(w, a, y);
      }
    }
    run_many(w, a, y, y_stride);
  }
};

/// Whether there is a way to unpack E with S here.
template <class S, class E>
concept Unpackable = requires {
  sizeof(Unpack<S, E>);
};

/// Enters the product of E into a table, if its blocks have 256 columns as kBlock says, or less than that,
/// and there is a way to unpack them.
template <class S, int kBlock, class E>
constexpr void set_product(KernelTable& table) {
  if constexpr (!E::kFloat && (E::kBlock == 256) == (kBlock == 256)) {
    // Constants, lest an unoptimised build emits index_of from inside the region.
    if constexpr (Unpackable<S, E>)
      table.quantized[std::integral_constant<size_t, kind_of<E>()>::value] = &QuantizedProductOf<S, E>::run;
  }
}
/// The same for each of a list. What is not entered keeps the portable product.
template <class S, int kBlock, class... E>
constexpr void set_products(KernelTable& table, EncodingList<E...>) {
  (set_product<S, kBlock, E>(table), ...);
}

}  // namespace
}  // namespace carat
