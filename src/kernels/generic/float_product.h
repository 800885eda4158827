// The product of exactly decoded weights with float activations, over a Simd type S.
//
// As in quantized_product.h, sixteen output rows lie in the lanes, and a tile of 256 columns is decoded into
// a panel of floats. The order, per output (docs/numerics.md): within a tile two fused sums, one over even
// and one over odd columns, each from zero in column order; their sum is added to y, tile by tile.
//
// Included inside a target region, after generic/prelude.h and one simd/<isa>.h.

namespace carat {
namespace {

inline constexpr int64_t kFloatTile = 256;
inline constexpr int64_t kFloatTokenBlock = 128;

/// How 16 bytes of each row become panel columns of floats.
struct LoadF32 {
  static constexpr int kBytes = 4;
  template <class S>
  static CARAT_ALWAYS_INLINE void columns(const uint8_t* p, int64_t stride, float* panel) {
    typename S::I x[4];
    S::load_rows(p, stride, x);
    CARAT_UNROLL
    for (int j = 0; j < 4; ++j) S::store_i(x[j], panel + 16 * j);
  }
};
struct LoadBF16 {
  static constexpr int kBytes = 2;
  template <class S>
  static CARAT_ALWAYS_INLINE void columns(const uint8_t* p, int64_t stride, float* panel) {
    typename S::I x[4];
    S::load_rows(p, stride, x);
    CARAT_UNROLL
    for (int j = 0; j < 4; ++j) {
      S::store_i(S::template shift_left<16>(x[j]), panel + 32 * j);
      S::store_i(S::and_i(x[j], S::set_i(static_cast<int32_t>(0xffff0000u))), panel + 32 * j + 16);
    }
  }
};
struct LoadF16 {
  static constexpr int kBytes = 2;
  template <class S>
  static CARAT_ALWAYS_INLINE void columns(const uint8_t* p, int64_t stride, float* panel) {
    typename S::I x[4];
    S::load_rows(p, stride, x);
    CARAT_UNROLL
    for (int j = 0; j < 4; ++j) {
      S::store(S::convert_low_f16(x[j]), panel + 32 * j);
      S::store(S::convert_low_f16(S::template shift_right<16>(x[j])), panel + 32 * j + 16);
    }
  }
};

template <class S, class Load>
struct FloatProductOf {
  using F = typename S::F;

  struct Working {
    alignas(64) float panel[kFloatTile * kPanelRows];  ///< [column, row]
    alignas(64) float sums[kFloatTokenBlock * kPanelRows];
    alignas(64) uint8_t rows[kPanelRows * kFloatTile * 4];  ///< copied or decoded rows, others zero
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

  static CARAT_ALWAYS_INLINE void unpack_tile(const uint8_t* p, int64_t stride, int64_t columns,
                                              float* panel) {
    constexpr int64_t kStep = 16 / Load::kBytes;
    for (int64_t k = 0; k < columns; k += kStep)
      Load::template columns<S>(p + k * Load::kBytes, stride, panel + 16 * k);
  }

  /// Rows decoded by the encoding itself: slow for one token, no matter for many.
  static CARAT_ALWAYS_INLINE void decode_tile(const WeightRows& w, int64_t column, int64_t columns,
                                              Working& s) {
    const int64_t block = column / w.encoding->block * w.encoding->block_bytes;
    float* rows = reinterpret_cast<float*>(s.rows);
    for (int r = 0; r < w.rows; ++r)
      w.encoding->decode(w.data + r * w.row_bytes + block, rows + r * kFloatTile, columns);
    unpack_tile(s.rows, kFloatTile * 4, columns, s.panel);
  }

  template <bool kDecode>
  static void run(const WeightRows& w, const FloatActivations& a, float* y, int64_t y_stride) {
    Working s;
    if (kDecode || w.rows < kPanelRows || w.columns % 8 != 0) __builtin_memset(s.rows, 0, sizeof s.rows);
    for (int64_t token = 0; token < a.tokens; token += kFloatTokenBlock) {
      const int64_t n = a.tokens - token < kFloatTokenBlock ? a.tokens - token : kFloatTokenBlock;
      for (int64_t t = 0; t < n; ++t) S::store(S::zero(), s.sums + 16 * t);
      for (int64_t column = 0; column < w.columns; column += kFloatTile) {
        const int64_t columns = w.columns - column < kFloatTile ? w.columns - column : kFloatTile;
        const uint8_t* p = w.data + column * Load::kBytes;
        if constexpr (kDecode) {
          decode_tile(w, column, columns, s);
        } else if (w.rows == kPanelRows && columns % 8 == 0) {
          unpack_tile(p, w.row_bytes, columns, s.panel);
        } else {
          constexpr int64_t kRowBytes = kFloatTile * Load::kBytes;
          for (int r = 0; r < w.rows; ++r)
            __builtin_memcpy(s.rows + r * kRowBytes, p + r * w.row_bytes,
                             static_cast<size_t>(columns * Load::kBytes));
          unpack_tile(s.rows, kRowBytes, columns, s.panel);
        }
        multiply_all<S::kFloatTokens>(s.panel, columns, a.x + token * a.stride + column, a.stride, 0, n,
                                      s.sums);
      }
      for (int64_t t = 0; t < n; ++t)
        S::store_n(S::load(s.sums + 16 * t), y + (token + t) * y_stride, w.rows);
    }
  }
};

template <class S>
struct FloatProducts {
  static constexpr void add_to(KernelTable& table) {
    for (FloatProduct& product : table.exact) product = &FloatProductOf<S, LoadF32>::template run<true>;
    table.exact[std::integral_constant<size_t, AllEncodings::index_of<F32>()>::value] =
        &FloatProductOf<S, LoadF32>::template run<false>;
    table.exact[std::integral_constant<size_t, AllEncodings::index_of<F16>()>::value] =
        &FloatProductOf<S, LoadF16>::template run<false>;
    table.exact[std::integral_constant<size_t, AllEncodings::index_of<BF16>()>::value] =
        &FloatProductOf<S, LoadBF16>::template run<false>;
  }
};

}  // namespace
}  // namespace carat
