// The product of exactly decoded weights with float activations, over a Simd type S.
//
// As in quantized_product.h, sixteen output rows lie in the lanes, and a tile of 256 columns is decoded into
// a panel of floats. The order, per output (docs/numerics.md): within a tile two fused sums, one over even
// and one over odd columns, each from zero in column order; their sum is added to y, tile by tile.
//
// Included inside a target region, after generic/panel.h.

namespace carat {
namespace {

/// How dword j of each row becomes columns of floats: sink.take<k>(column k of all rows).
struct LoadF32 {
  static constexpr int kBytes = 4;
  template <class S, int j, class Sink>
  static CARAT_ALWAYS_INLINE void columns(typename S::I x, Sink& sink) {
    sink.template take<j>(S::from_bits(x));
  }
};
struct LoadBF16 {
  static constexpr int kBytes = 2;
  template <class S, int j, class Sink>
  static CARAT_ALWAYS_INLINE void columns(typename S::I x, Sink& sink) {
    sink.template take<2 * j>(S::from_bits(S::template shift_left<16>(x)));
    sink.template take<2 * j + 1>(S::from_bits(S::and_i(x, S::set_i(static_cast<int32_t>(0xffff0000u)))));
  }
};
struct LoadF16 {
  static constexpr int kBytes = 2;
  template <class S, int j, class Sink>
  static CARAT_ALWAYS_INLINE void columns(typename S::I x, Sink& sink) {
    typename S::F low, high;
    S::convert_f16(x, low, high);
    sink.template take<2 * j>(low);
    sink.template take<2 * j + 1>(high);
  }
};

template <class S, class Load>
struct FloatProductOf {
  using F = typename S::F;

  static constexpr int64_t kTileBytes = kTileColumns * Load::kBytes;
  /// Rows of a copied tile lie in different sets of the first-level cache.
  static constexpr int64_t kCopyStride = kTileColumns * 4 + 64;

  struct Working {
    alignas(64) float panel[kTileColumns * kPanelRows];  ///< [column, row]
    alignas(64) float sums[kTokenBlock * kPanelRows];
    alignas(64) uint8_t rows[kPanelRows * kCopyStride];  ///< copied or decoded rows, others zero
  };

  template <int T>
  static CARAT_ALWAYS_INLINE void multiply(const float* panel, int64_t columns, const float* x,
                                           int64_t stride, float* sums) {
    F even[T], odd[T];
    CARAT_UNROLL
    for (int t = 0; t < T; ++t) even[t] = odd[t] = S::zero();
    int64_t k = 0;
    for (; k + 2 <= columns; k += 2) {
      const F w0 = S::load(panel + 16 * k);
      CARAT_UNROLL
      for (int t = 0; t < T; ++t) even[t] = S::mul_add(w0, S::set(x[t * stride + k]), even[t]);
      const F w1 = S::load(panel + 16 * k + 16);
      CARAT_UNROLL
      for (int t = 0; t < T; ++t) odd[t] = S::mul_add(w1, S::set(x[t * stride + k + 1]), odd[t]);
    }
    if (k < columns) {
      const F w0 = S::load(panel + 16 * k);
      CARAT_UNROLL
      for (int t = 0; t < T; ++t) even[t] = S::mul_add(w0, S::set(x[t * stride + k]), even[t]);
    }
    CARAT_UNROLL
    for (int t = 0; t < T; ++t)
      S::store(S::add(S::load(sums + 16 * t), S::add(even[t], odd[t])), sums + 16 * t);
  }

  template <int T>
  static CARAT_ALWAYS_INLINE void multiply_all(const float* panel, int64_t columns, const float* x,
                                               int64_t stride, int64_t t, int64_t n, float* sums) {
    for (; t + T <= n; t += T) multiply<T>(panel, columns, x + t * stride, stride, sums + 16 * t);
    if constexpr (T > 1) {
      if (t < n) multiply_all<T / 2>(panel, columns, x, stride, t, n, sums);
    }
  }

  static constexpr int kPiece = 16 / Load::kBytes;  ///< columns in 16 bytes

  struct PanelSink {
    float* to;
    template <int k>
    CARAT_ALWAYS_INLINE void take(F column) {
      S::store(column, to + 16 * k);
    }
    CARAT_ALWAYS_INLINE void advance(int64_t columns) { to += 16 * columns; }
  };
  /// The same sums as multiply<1>.
  struct DotSink {
    const float* x;
    F even, odd;
    template <int k>
    CARAT_ALWAYS_INLINE void take(F column) {
      F& sum = k % 2 == 0 ? even : odd;
      sum = S::mul_add(column, S::set(x[k]), sum);
    }
    CARAT_ALWAYS_INLINE void advance(int64_t columns) { x += columns; }
  };

  /// The columns (a multiple of kPiece) of a tile at byte `at` of the rows, with requests for the next panel.
  template <bool kAsk, class Sink>
  static CARAT_ALWAYS_INLINE void load_columns(const SixteenRows& rows, int64_t at, const uint8_t* next,
                                               int64_t columns, Sink& sink) {
    int64_t k = 0;
    for (; k + 4 * kPiece <= columns; k += 4 * kPiece) {
      const int64_t byte = at + k * Load::kBytes;
      typename S::I x[16];
      S::load_rows_64(rows + byte, x);
      unrolled<16>([&](auto j) CARAT_INLINE_LAMBDA {
        if constexpr (kAsk && j % 4 == 0) ask_for_next_panel<j / 4, 4, 64>(rows, next + 2 * byte);
        Load::template columns<S, j>(x[j], sink);
      });
      sink.advance(4 * kPiece);
    }
    for (; k < columns; k += kPiece) {
      typename S::I x[4];
      S::load_rows(rows + (at + k * Load::kBytes), x);
      unrolled<4>([&](auto j) CARAT_INLINE_LAMBDA { Load::template columns<S, j>(x[j], sink); });
      sink.advance(kPiece);
    }
  }

  /// Rows of floats often lie a multiple of 2,048 bytes apart. Sixteen lines at that distance share one or
  /// two sets of the first-level cache, which hold eight each, so that half of them are gone before they are
  /// used up. Copying each row's part of the tile first, read in one go, is 1.7 times as fast (Zen 4, 4,096
  /// bytes).
  template <int r = 0>
  static CARAT_ALWAYS_INLINE void copy_tile(const SixteenRows& rows, int64_t at, const uint8_t* next,
                                            uint8_t* to) {
    const uint8_t* row = rows.template row<r>() + at;
    const uint8_t* in_next_panel = next + rows.template distance<r>() + at;
    for (int64_t i = 0; i < kTileBytes; i += 64) {
      __builtin_prefetch(in_next_panel + i, 0, 2);
      S::store_i(S::load_i(row + i), to + i);
    }
    if constexpr (r + 1 < kPanelRows) copy_tile<r + 1>(rows, at, next, to + kCopyStride);
  }

  template <class Sink>
  static CARAT_ALWAYS_INLINE void load_tile(const SixteenRows& rows, int64_t at, const uint8_t* next,
                                            int64_t columns, Working& s, Sink& sink) {
    if (rows.distance<1>() % 2048 == 0) {
      copy_tile(rows, at, next, s.rows);
      load_columns<false>(SixteenRows(s.rows, kCopyStride), 0, nullptr, columns, sink);
    } else {
      load_columns<true>(rows, at, next, columns, sink);
    }
  }

  /// Fills the panel from rows of an incomplete panel or tile, or from decoded ones.
  template <bool kDecode>
  static void unpack_copy(const WeightRows& w, int64_t column, int64_t columns, Working& s) {
    for (int r = 0; r < w.rows; ++r) {
      const uint8_t* row = w.data + r * w.row_bytes;
      uint8_t* to = s.rows + r * kCopyStride;
      if constexpr (kDecode)
        w.encoding->decode_part(*w.encoding, row, w.columns, column, columns, reinterpret_cast<float*>(to));
      else
        __builtin_memcpy(to, row + column * Load::kBytes, static_cast<size_t>(columns * Load::kBytes));
    }
    PanelSink sink{s.panel};
    load_columns<false>(SixteenRows(s.rows, kCopyStride), 0, nullptr,
                        (columns + kPiece - 1) / kPiece * kPiece, sink);
  }

  /// Columns whose tiles can be read in place.
  template <bool kDecode>
  static int64_t columns_in_place(const WeightRows& w) {
    if (kDecode || w.rows < kPanelRows) return 0;
    return w.columns % kPiece == 0 ? w.columns : w.columns / kTileColumns * kTileColumns;
  }

  template <bool kDecode>
  static void run_many(const WeightRows& w, const FloatActivations& a, float* y, int64_t y_stride) {
    Working s;
    const int64_t in_place = columns_in_place<kDecode>(w);
    if (in_place < w.columns) __builtin_memset(s.rows, 0, sizeof s.rows);
    const SixteenRows rows(w.data, w.row_bytes);
    for (int64_t token = 0; token < a.tokens; token += kTokenBlock) {
      const int64_t n = a.tokens - token < kTokenBlock ? a.tokens - token : kTokenBlock;
      for (int64_t t = 0; t < n; ++t) S::store(S::zero(), s.sums + 16 * t);
      for (int64_t column = 0; column < w.columns; column += kTileColumns) {
        const int64_t columns = w.columns - column < kTileColumns ? w.columns - column : kTileColumns;
        if (column < in_place) {
          PanelSink sink{s.panel};
          load_tile(rows, column * Load::kBytes, w.next, columns, s, sink);
        } else {
          unpack_copy<kDecode>(w, column, columns, s);
        }
        multiply_all<S::kFloatTokens>(s.panel, columns, a.x + token * a.stride + column, a.stride, 0, n,
                                      s.sums);
      }
      for (int64_t t = 0; t < n; ++t)
        S::store_n(S::load(s.sums + 16 * t), y + (token + t) * y_stride, w.rows);
    }
  }

  /// One token, whose products are taken from registers.
  static void run_one(const WeightRows& w, const float* x, float* y) {
    Working s;
    const int64_t in_place = columns_in_place<false>(w);
    if (in_place < w.columns) __builtin_memset(s.rows, 0, sizeof s.rows);
    const SixteenRows rows(w.data, w.row_bytes);
    S::store(S::zero(), s.sums);
    for (int64_t column = 0; column < w.columns; column += kTileColumns) {
      const int64_t columns = w.columns - column < kTileColumns ? w.columns - column : kTileColumns;
      if (column < in_place) {
        DotSink sink{x + column, S::zero(), S::zero()};
        load_tile(rows, column * Load::kBytes, w.next, columns, s, sink);
        S::store(S::add(S::load(s.sums), S::add(sink.even, sink.odd)), s.sums);
      } else {
        unpack_copy<false>(w, column, columns, s);
        multiply<1>(s.panel, columns, x + column, 0, s.sums);
      }
    }
    S::store_n(S::load(s.sums), y, w.rows);
  }

  static void run(const WeightRows& w, const FloatActivations& a, float* y, int64_t y_stride) {
    if constexpr (S::kRegisters) {
      if (a.tokens == 1) return run_one(w, a.x, y);
    }
    run_many<false>(w, a, y, y_stride);
  }
};

template <class S>
struct FloatProducts {
  static constexpr void add_to(KernelTable& table) {
    for (FloatProduct& product : table.exact) product = &FloatProductOf<S, LoadF32>::template run_many<true>;
    table.exact[std::integral_constant<size_t, kind_of<F32>()>::value] = &FloatProductOf<S, LoadF32>::run;
    table.exact[std::integral_constant<size_t, kind_of<F16>()>::value] = &FloatProductOf<S, LoadF16>::run;
    table.exact[std::integral_constant<size_t, kind_of<BF16>()>::value] = &FloatProductOf<S, LoadBF16>::run;
  }
};

}  // namespace
}  // namespace carat
