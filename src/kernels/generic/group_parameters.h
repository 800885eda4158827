// Where a tile of a grouped encoding finds the parameters of its leaves: floats of sixteen rows side by side,
// eight groups at a time, as rows store them together.
//
// Included inside a target region, after generic/quantized_product.h.

namespace carat {
namespace {

template <class S, class E>
requires E::kGrouped struct GroupParameters<S, E> {
  /// Of leaf l of the tile, [16] each. What is added to a leaf's integer sum, times the sum of the
  /// activations' codes, is `offset`: minus the zero point, as codes enter the dot products.
  const float* scale[8];
  const float* offset[8];

  CARAT_ALWAYS_INLINE explicit GroupParameters(const WeightRows& w)
      : rows_(w),
        groups_(w.groups.groups),
        width_(w.groups.width),
        in_a_tile_(width_ <= 32                    ? 8
                   : kTileColumns / width_ + 2 < 8 ? kTileColumns / width_ + 2
                                                   : 8),
        end_(width_) {}

  /// For the tile that begins at `column`; tiles come in order.
  CARAT_ALWAYS_INLINE void reach(int64_t column) {
    advance(column);
    if (group_ + in_a_tile_ > first_ + 8) fill();
    CARAT_UNROLL
    for (int l = 0; l < 8; ++l) {
      advance(column + 32 * l);
      scale[l] = scales_ + kPanelRows * (group_ - first_);
      offset[l] = offsets_ + (E::kZeroPoint ? kPanelRows * (group_ - first_) : 0);
    }
  }

 private:
  using I = typename S::I;
  using F = typename S::F;

  /// What lies past the last group counts to it.
  CARAT_ALWAYS_INLINE void advance(int64_t column) {
    if (column >= end_ && group_ + 1 < groups_) ++group_, end_ += width_;
  }

  /// Reads eight groups from group_ on, or those that are left.
  void fill() {
    first_ = group_;
    const bool in_place = S::kRegisters && rows_.rows == kPanelRows && 2 * first_ + 16 <= rows_.row_bytes &&
                          (!E::kZeroPoint || 2 * groups_ + first_ + 16 <= rows_.row_bytes);
    if (!in_place) return fill_by_rows();
    const SixteenRows rows(rows_.data, rows_.row_bytes);
    I x[4];
    S::load_rows(rows + 2 * first_, x);
    CARAT_UNROLL
    for (int j = 0; j < 4; ++j) {
      F low, high;
      S::convert_f16(x[j], low, high);
      S::store(low, scales_ + 2 * j * kPanelRows);
      S::store(high, scales_ + (2 * j + 1) * kPanelRows);
    }
    if constexpr (E::kZeroPoint) {
      S::load_rows(rows + (2 * groups_ + first_), x);
      CARAT_UNROLL
      for (int j = 0; j < 2; ++j) {
        store_offset(S::template byte<0>(x[j]), 4 * j);
        store_offset(S::template byte<1>(x[j]), 4 * j + 1);
        store_offset(S::template byte<2>(x[j]), 4 * j + 2);
        store_offset(S::template byte<3>(x[j]), 4 * j + 3);
      }
    }
  }
  CARAT_ALWAYS_INLINE void store_offset(I zero, int group) {
    const I entering = S::add_i(zero, S::set_i(CodeFacts<S, E>::kZero));
    S::store(S::sub(S::zero(), S::convert(entering)), offsets_ + group * kPanelRows);
  }

  void fill_by_rows() {
    const int64_t n = groups_ - first_ < 8 ? groups_ - first_ : 8;
    __builtin_memset(scales_, 0, sizeof scales_);
    __builtin_memset(offsets_, 0, sizeof offsets_);
    for (int r = 0; r < rows_.rows; ++r) {
      float s[8], zero[8];
      E::read_parameters(rows_.data + r * rows_.row_bytes, groups_, first_, n, s, zero);
      for (int64_t i = 0; i < n; ++i) {
        scales_[i * kPanelRows + r] = s[i];
        if constexpr (E::kZeroPoint)
          offsets_[i * kPanelRows + r] = -(zero[i] + static_cast<float>(CodeFacts<S, E>::kZero));
      }
    }
  }

  const WeightRows& rows_;
  const int64_t groups_, width_;
  const int64_t in_a_tile_;  ///< groups that a tile touches, at most
  int64_t group_ = 0, end_;
  int64_t first_ = -8;  ///< group of scales_
  alignas(64) float scales_[8 * kPanelRows];
  alignas(64) float offsets_[(E::kZeroPoint ? 8 : 1) * kPanelRows];
};

/// Enters the products of grouped kinds into a table. Those whose levels are no integers meet floats.
template <class S, class E>
constexpr void set_grouped_product(KernelTable& table) {
  if constexpr (requires { E::kBits; })
    table.quantized[std::integral_constant<size_t, kind_of<E>()>::value] = &QuantizedProductOf<S, E>::run;
}
template <class S, class... E>
constexpr void set_grouped_products(KernelTable& table, EncodingList<E...>) {
  (set_grouped_product<S, E>(table), ...);
}

}  // namespace
}  // namespace carat
