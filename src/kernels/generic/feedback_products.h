// The product that error feedback and the factorisation behind it spend their time in: a tile of 2 vectors of
// rows x kColumns columns, which stays in registers while it takes up one pair of factors after the other.
//
// Sums run in order, one rounding per step (fused), so that cutting them into pieces changes nothing.
//
// Included inside a target region after search_lanes.h; includes nothing.

namespace carat {
namespace {

inline constexpr int kProductColumns = kSearchLanes == 16 ? 8 : 4;

inline constexpr int kDoubleLanes = kSearchLanes / 2;

/// Every lane x. Subtracting 0, unlike adding it, is nothing that a compiler has to do.
template <class V, class T>
CARAT_LANES V every_lane(T x) {
  return x - V{};
}

/// sums[c][v] += sum over i < n of rows_v[i] * columns[i][c]; rows_v + i * row_step, columns + i *
/// column_step.
template <class V, class T>
CARAT_LANES void add_products_of(const T* rows0, const T* rows1, int64_t row_step, const T* columns,
                                 int64_t column_step, int64_t n, V (&sums)[kProductColumns][2]) {
  V s[kProductColumns][2];
  CARAT_UNROLL
  for (int c = 0; c < kProductColumns; ++c) s[c][0] = sums[c][0], s[c][1] = sums[c][1];
  for (int64_t i = 0; i < n; ++i) {
    V r0, r1;
    std::memcpy(&r0, rows0 + i * row_step, sizeof r0);
    std::memcpy(&r1, rows1 + i * row_step, sizeof r1);
    CARAT_UNROLL
    for (int c = 0; c < kProductColumns; ++c) {
      const V x = every_lane<V>(columns[i * column_step + c]);
      s[c][0] = fused(r0, x, s[c][0]);
      s[c][1] = fused(r1, x, s[c][1]);
    }
  }
  CARAT_UNROLL
  for (int c = 0; c < kProductColumns; ++c) sums[c][0] = s[c][0], sums[c][1] = s[c][1];
}

}  // namespace
}  // namespace carat
