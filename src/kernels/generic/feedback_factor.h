// Three steps of a blocked Cholesky factorisation, M = L L^T, on tiles of kFactorTile x kFactorTile doubles
// that are stored [column][row]. rounders/hessian.cc calls them.
//
// Included inside a target region after feedback_products.h; includes nothing.

namespace carat {
namespace {

/// c -= sum over t < n of a[t] b[t]^T, a and b being rows of tiles.
inline void factor_update(const double* a, const double* b, int64_t n, double* c) {
  constexpr int64_t kTile = kFactorTile, kSize = kTile * kTile;
  double sums[kTile][kTile]{};  // [column][row]
  for (int64_t t = 0; t < n; ++t)
    for (int64_t row = 0; row < kTile; row += 2 * kDoubleLanes)
      for (int64_t column = 0; column < kTile; column += kProductColumns) {
        G s[kProductColumns][2];
        for (int k = 0; k < kProductColumns; ++k) std::memcpy(s[k], &sums[column + k][row], sizeof s[k]);
        const double* rows = a + t * kSize + row;
        add_products_of(rows, rows + kDoubleLanes, kTile, b + t * kSize + column, kTile, kTile, s);
        for (int k = 0; k < kProductColumns; ++k) std::memcpy(&sums[column + k][row], s[k], sizeof s[k]);
      }
  for (int64_t i = 0; i < kSize; ++i) c[i] -= (&sums[0][0])[i];
}

/// One tile of the diagonal becomes its factor, with zeros above the diagonal. False where a pivot is not
/// clearly positive.
inline bool factor_diagonal(double* c) {
  constexpr int kTile = kFactorTile;
  double before[kTile];
  for (int k = 0; k < kTile; ++k) before[k] = c[k * kTile + k];
  for (int k = 0; k < kTile; ++k) {
    double* column = c + k * kTile;
    // What cancellation leaves of a column that depends on others is about 1e-16 of it, of either sign.
    if (!(column[k] > 1e-11 * before[k])) return false;
    const double root = std::sqrt(column[k]);
    for (int r = 0; r < kTile; ++r) column[r] = r < k ? 0 : r == k ? root : column[r] / root;
    for (int j = k + 1; j < kTile; ++j) {
      double* later = c + j * kTile;
      const double x = column[j];
      for (int r = 0; r < kTile; r += kDoubleLanes) {
        G a, b;
        std::memcpy(&a, column + r, sizeof a);
        std::memcpy(&b, later + r, sizeof b);
        b = fused(-a, every_lane<G>(x), b);
        std::memcpy(later + r, &b, sizeof b);
      }
    }
  }
  return true;
}

/// c <- c l^-T, l being a factor of the diagonal.
inline void factor_solve(const double* l, double* c) {
  constexpr int kTile = kFactorTile, kGroup = 4;
  for (int row = 0; row < kTile; row += kGroup * kDoubleLanes)
    for (int k = 0; k < kTile; ++k) {
      G s[kGroup];
      double* column = c + k * kTile + row;
      std::memcpy(s, column, sizeof s);
      for (int j = 0; j < k; ++j) {
        const G x = every_lane<G>(-l[j * kTile + k]);
        CARAT_UNROLL
        for (int i = 0; i < kGroup; ++i) {
          G a;
          std::memcpy(&a, c + j * kTile + row + i * kDoubleLanes, sizeof a);
          s[i] = fused(a, x, s[i]);
        }
      }
      CARAT_UNROLL
      for (int i = 0; i < kGroup; ++i) s[i] /= every_lane<G>(l[k * kTile + k]);
      std::memcpy(column, s, sizeof s);
    }
}

}  // namespace
}  // namespace carat
