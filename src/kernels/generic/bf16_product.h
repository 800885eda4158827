// The product of numbers rounded to bf16, over a Simd type S and a way P of multiplying pairs.
//
// Per output there is one sum, over all columns in order, pairs of them at a time (docs/numerics.md): what
// AVX-512's vdpbf16ps does to an accumulator, so that processors that have it are at its peak, and all others
// say the same with two fused multiply-adds per pair.
//
// Both factors are packed alike, into panels of sixteen rows (or tokens) whose pairs of columns are
// interleaved (Bf16Panels). P::kPanels panels of rows lie in the lanes, P::kTokens tokens are broadcast from
// one cache line, and their sums stay in registers for a tile of columns. kBf16Rows rows meet all tokens in
// one call, which share their unpacking; tokens, too many for the second-level cache, come from the third
// once per so many rows.
//
// P: kPanels, kTokens; W weights(I), what is prepared once per pair of weights; F add(F sum, W, I x).
//
// Included inside a target region, after generic/panel.h.

namespace carat {
namespace {

/// x rounded to bf16, to nearest even, in the upper half of each lane; what is below is to be dropped. A NaN
/// becomes a quiet one.
template <class S>
CARAT_ALWAYS_INLINE typename S::I rounded_to_bf16(typename S::F x) {
  const auto bits = S::bits(x);
  const auto magnitude = S::from_bits(S::and_i(bits, S::set_i(0x7fffffff)));
  const auto odd = S::and_i(S::template shift_right<16>(bits), S::set_i(1));
  const auto nearest = S::add_i(bits, S::add_i(odd, S::set_i(0x7fff)));
  // Twice an infinity or NaN is itself.
  return S::bits(S::select_less(magnitude, S::set(__builtin_inff()), S::from_bits(nearest), S::add(x, x)));
}

/// n numbers as bf16, with zeros up to the next multiple of 16.
template <class S>
CARAT_ALWAYS_INLINE void round_to_bf16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; i += 16) {
    const auto v = n - i >= 16 ? S::load(x + i) : S::load_n(x + i, n - i);
    S::store_i16(S::template shift_right_signed<16>(rounded_to_bf16<S>(v)),
                 reinterpret_cast<int16_t*>(out + i));
  }
}

// n columns of a row as bf16, and zeros up to the next multiple of 16; decoded: kBf16Columns floats of
// working memory.
template <class S>
struct RowOfBF16 {
  static CARAT_ALWAYS_INLINE void load(const WeightRows&, const uint8_t* row, int64_t column, int64_t n,
                                       float*, uint16_t* out) {
    __builtin_memcpy(out, row + 2 * column, static_cast<size_t>(2 * n));
    for (int64_t i = n; i % 16 != 0; ++i) out[i] = 0;
  }
};
template <class S>
struct RowOfF32 {
  static CARAT_ALWAYS_INLINE void load(const WeightRows&, const uint8_t* row, int64_t column, int64_t n,
                                       float*, uint16_t* out) {
    round_to_bf16<S>(reinterpret_cast<const float*>(row) + column, n, out);
  }
};
template <class S>
struct RowOfF16 {
  static CARAT_ALWAYS_INLINE void load(const WeightRows& w, const uint8_t* row, int64_t column, int64_t n,
                                       float* decoded, uint16_t* out) {
    const auto* from = reinterpret_cast<const uint16_t*>(row) + column;
    const int64_t whole = n / 16 * 16;
    for (int64_t i = 0; i < whole; i += 16) S::store(S::load_f16(from + i), decoded + i);
    if (whole < n) w.encoding->decode(row + 2 * (column + whole), decoded + whole, n - whole);
    round_to_bf16<S>(decoded, n, out);
  }
};
template <class S>
struct RowOfCodes {
  static CARAT_ALWAYS_INLINE void load(const WeightRows& w, const uint8_t* row, int64_t column, int64_t n,
                                       float* decoded, uint16_t* out) {
    w.encoding->decode_part(*w.encoding, row, w.columns, column, n, decoded);
    round_to_bf16<S>(decoded, n, out);
  }
};

template <class S>
struct Bf16Packing {
  static constexpr int64_t kPairs = Bf16Panels::kPairs;

  struct Working {
    /// Rows lie in different sets of the first-level cache.
    static constexpr int64_t kRowStride = kBf16Columns + 32;
    alignas(64) uint16_t rows[kPanelRows * kRowStride];
    alignas(64) float decoded[kBf16Columns];
  };

  /// One tile of up to sixteen rows: columns [column, column + columns) of w.
  template <class Row>
  static CARAT_ALWAYS_INLINE void pack_tile(const WeightRows& w, int64_t column, int64_t columns, Working& s,
                                            int32_t* out) {
    for (int r = 0; r < w.rows; ++r)
      Row::load(w, w.data + r * w.row_bytes, column, columns, s.decoded, s.rows + r * Working::kRowStride);
    const SixteenRows from(reinterpret_cast<const uint8_t*>(s.rows), Working::kRowStride * 2);
    for (int64_t k = 0; k < columns; k += 32) {
      typename S::I x[16];
      S::load_rows_64(from + 2 * k, x);
      CARAT_UNROLL
      for (int j = 0; j < 16; ++j) S::store_i(x[j], out + (k / 2 + j) * kPanelRows);
    }
  }

  static void pack_rows(const float* x, int64_t stride, int64_t panel, const Bf16Panels& to) {
    Working s;
    __builtin_memset(s.rows, 0, sizeof s.rows);  // rows that are not there
    WeightRows w;
    w.data = reinterpret_cast<const uint8_t*>(x + panel * kPanelRows * stride);
    w.row_bytes = stride * int64_t{sizeof(float)};
    const int64_t left = to.rows - panel * kPanelRows;
    w.rows = static_cast<int>(left < kPanelRows ? left : kPanelRows);
    for (int64_t column = 0; column < to.columns; column += kBf16Columns) {
      const int64_t columns = to.columns - column < kBf16Columns ? to.columns - column : kBf16Columns;
      pack_tile<RowOfF32<S>>(w, column, columns, s, to.panel(column / kBf16Columns, panel));
    }
  }

  static void pack_columns(const float* x, int64_t stride, int64_t panel, const Bf16Panels& to) {
    const int64_t first = panel * kPanelRows, count = to.rows - first;
    const auto row = [&](int64_t t) CARAT_INLINE_LAMBDA {
      return rounded_to_bf16<S>(t < to.columns ? S::load_n(x + t * stride + first, count) : S::zero());
    };
    for (int64_t t = 0; t < to.columns; t += 2) {
      const auto even = S::template shift_right<16>(row(t));
      const auto odd = S::and_i(row(t + 1), S::set_i(static_cast<int32_t>(0xffff0000u)));
      S::store_i(S::or_i(even, odd), to.panel(t / kBf16Columns, panel) + t % kBf16Columns / 2 * kPanelRows);
    }
  }
};

template <class S, class P>
struct Bf16ProductOf {
  using F = typename S::F;
  static constexpr int64_t kPairs = Bf16Panels::kPairs;
  static constexpr int64_t kPanelSize = kPairs * kPanelRows;

  /// Sums of a block of tokens: [token, row].
  struct Sums {
    alignas(64) float at[kBf16Tokens * kBf16Rows];
  };

  template <int R, int T>
  static CARAT_ALWAYS_INLINE void multiply(const int32_t* rows, int64_t pairs, const int32_t* x,
                                           float* sums) {
    F sum[R][T];
    CARAT_UNROLL
    for (int t = 0; t < T; ++t) {
      CARAT_UNROLL
      for (int r = 0; r < R; ++r) sum[r][t] = S::load(sums + t * kBf16Rows + r * kPanelRows);
    }
    for (int64_t k = 0; k < pairs; ++k) {
      typename P::W w[R];
      CARAT_UNROLL
      for (int r = 0; r < R; ++r) w[r] = P::weights(S::load_i(rows + r * kPanelSize + k * kPanelRows));
      CARAT_UNROLL
      for (int t = 0; t < T; ++t) {
        const auto pair = S::set_i(x[k * kPanelRows + t]);
        CARAT_UNROLL
        for (int r = 0; r < R; ++r) sum[r][t] = P::add(sum[r][t], w[r], pair);
      }
    }
    CARAT_UNROLL
    for (int t = 0; t < T; ++t) {
      CARAT_UNROLL
      for (int r = 0; r < R; ++r) S::store(sum[r][t], sums + t * kBf16Rows + r * kPanelRows);
    }
  }

  /// Tokens [t, n) of a panel.
  template <int R, int T>
  static CARAT_ALWAYS_INLINE void multiply_panel(const int32_t* rows, int64_t pairs, const int32_t* x,
                                                 int64_t t, int64_t n, float* sums) {
    for (; t + T <= n; t += T) multiply<R, T>(rows, pairs, x + t, sums + t * kBf16Rows);
    if constexpr (T > 1) {
      if (t < n) multiply_panel<R, T / 2>(rows, pairs, x, t, n, sums);
    }
  }

  /// One tile of `panels` packed panels and n tokens, beginning with a whole panel of them.
  static CARAT_ALWAYS_INLINE void multiply_tile(const int32_t* rows, int panels, int64_t pairs,
                                                const int32_t* x, int64_t n, Sums& sums) {
    const auto all = [&](auto at_once, int p) CARAT_INLINE_LAMBDA {
      for (int64_t t = 0; t < n; t += kPanelRows)
        multiply_panel<at_once, P::kTokens>(rows + p * kPanelSize, pairs, x + t * kPairs, 0,
                                            n - t < kPanelRows ? n - t : kPanelRows,
                                            sums.at + t * kBf16Rows + p * kPanelRows);
    };
    int p = 0;
    for (; p + P::kPanels <= panels; p += P::kPanels) all(std::integral_constant<int, P::kPanels>{}, p);
    if constexpr (P::kPanels > 1)
      for (; p < panels; ++p) all(std::integral_constant<int, 1>{}, p);
  }

  /// Gives a tile's packed rows to use(rows); tokens [first, first + count) of x, whole panels from `first`.
  template <class Rows>
  static CARAT_ALWAYS_INLINE void multiply_tokens(int64_t rows, const Bf16Panels& x, int64_t first,
                                                  int64_t count, float* y, int64_t y_stride,
                                                  Rows&& packed_rows) {
    Sums sums;
    const int panels = static_cast<int>((rows + kPanelRows - 1) / kPanelRows);
    for (int64_t at = 0; at < count; at += kBf16Tokens) {
      const int64_t n = count - at < kBf16Tokens ? count - at : kBf16Tokens;
      __builtin_memset(sums.at, 0, static_cast<size_t>(n * kBf16Rows) * sizeof(float));
      for (int64_t column = 0; column < x.columns; column += kBf16Columns) {
        const int64_t columns = x.columns - column < kBf16Columns ? x.columns - column : kBf16Columns;
        multiply_tile(packed_rows(column, columns, panels), panels, (columns + 1) / 2,
                      x.panel(column / kBf16Columns, (first + at) / kPanelRows), n, sums);
      }
      for (int64_t t = 0; t < n; ++t)
        for (int64_t r = 0; r < rows; r += kPanelRows)
          S::store_n(S::load(sums.at + t * kBf16Rows + r), y + (at + t) * y_stride + r, rows - r);
    }
  }

  template <class Row>
  struct OfRows {
    static void run(const WeightRows& w, const Bf16Panels& x, float* y, int64_t y_stride) {
      struct {
        typename Bf16Packing<S>::Working working;
        alignas(64) int32_t panels[kBf16Rows / kPanelRows * kPanelSize];
      } s;
      // What incomplete panels and tiles leave open is computed with, and dropped.
      __builtin_memset(&s, 0, sizeof s);
      multiply_tokens(w.rows, x, 0, x.rows, y, y_stride,
                      [&](int64_t column, int64_t columns, int panels) CARAT_INLINE_LAMBDA {
                        for (int p = 0; p < panels; ++p) {
                          WeightRows part = w;
                          part.data += p * kPanelRows * w.row_bytes;
                          part.rows =
                              w.rows - p * kPanelRows < kPanelRows ? w.rows - p * kPanelRows : kPanelRows;
                          Bf16Packing<S>::template pack_tile<Row>(part, column, columns, s.working,
                                                                  s.panels + p * kPanelSize);
                        }
                        return static_cast<const int32_t*>(s.panels);
                      });
    }
  };

  struct OfPanels {
    static void run(const Bf16Panels& a, int64_t row, int64_t rows, const Bf16Panels& x, int64_t first,
                    int64_t count, float* y, int64_t y_stride) {
      multiply_tokens(rows, x, first, count, y, y_stride,
                      [&](int64_t column, int64_t, int) CARAT_INLINE_LAMBDA {
                        return static_cast<const int32_t*>(a.panel(column / kBf16Columns, row / kPanelRows));
                      });
    }
  };
};

/// Call<Product>::run calls Product::run.
template <class S, class P, template <class> class Call>
struct Bf16Products {
  template <class Row>
  static constexpr Bf16Product of = &Call<typename Bf16ProductOf<S, P>::template OfRows<Row>>::run;

  static constexpr void add_to(KernelTable& table) {
    for (Bf16Product& product : table.bf16) product = of<RowOfCodes<S>>;
    table.bf16[std::integral_constant<size_t, kind_of<F32>()>::value] = of<RowOfF32<S>>;
    table.bf16[std::integral_constant<size_t, kind_of<F16>()>::value] = of<RowOfF16<S>>;
    table.bf16[std::integral_constant<size_t, kind_of<BF16>()>::value] = of<RowOfBF16<S>>;
    table.bf16_panels = &Call<typename Bf16ProductOf<S, P>::OfPanels>::run;
    table.pack_bf16_rows = &Bf16Packing<S>::pack_rows;
    table.pack_bf16_columns = &Bf16Packing<S>::pack_columns;
  }
};

}  // namespace
}  // namespace carat
