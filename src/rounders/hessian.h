// What error feedback needs to know of a matrix's inputs: from the Hessian H = sum x x^T over calibration
// tokens to a triangular factor.
//
// With D = W - Q, what rounding costs the outputs is tr(D H D^T). Columns are rounded one after the other,
// and what a column lost is made up for by those that follow. GPTQ (Frantar et al. 2022, section 3) writes
// that with U, H^-1 = U^T U; LDLQ (Chee et al. 2023, QuIP, theorem 1) with H = A A^T, A upper triangular.
// They are the same, A being the inverse of U, and the second is what is kept here: before column k is
// rounded,
//   w_k += sum over j < k of (w_j - q_j) A[j][k] / A[k][k]
// in which only original weights and their codes occur. Rejected: U, which takes an inversion more (twice the
// time, and the digits that it loses).
//
// A few thousand tokens do not determine a Hessian of thousands of columns: what it says of pairs of columns
// that are hardly related is noise, which feedback would follow. So H is first drawn towards its diagonal.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/context.h"
#include "kernels/kernels.h"
#include "kernels/search_table.h"

namespace carat {

struct FeedbackOptions {
  double shrink = 0.4;      ///< H <- (1 - shrink) H + shrink diag(H); 0 to 1
  double damp = 0.05;       ///< times the mean of the diagonal, added to the diagonal
  double damp_limit = 1.0;  ///< where H does not factor, damp is doubled (from 0.01 at least) up to this
  /// Columns in order of descending diagonal (static act-order) instead of their own.
  bool descending = false;
};

/// H = A A^T, A upper triangular over the columns in the order in which they are rounded.
struct FeedbackFactor {
  int64_t columns = 0;
  /// A[j][k] / A[k][k] for j < k in slices of kFeedbackSlice columns k: slice s holds rows j < (s + 1) *
  /// kFeedbackSlice, [j][column]; from j = k on they are 0.
  std::vector<float> slices;
  /// By column: A[k][k]^2, what the square of column k's error costs when later columns make up for what they
  /// can. In units of `unit`, at most 1; 0 for columns that no token used.
  std::vector<float> weight;
  std::vector<int32_t> order;  ///< column at each position; empty: its own
  double unit = 0;
  double damping = 0;        ///< what FeedbackOptions::damp became
  int64_t dead_columns = 0;  ///< columns with nothing on the diagonal
};

/// hessian: [columns, columns], of which the upper triangle is read (row <= column); columns a multiple
/// of 32. It counts only up to a factor. A column with 0 on the diagonal neither gives nor gets feedback.
/// Errors: values that are not finite, a negative diagonal, a Hessian of zeros, one that does not factor even
/// with damp_limit. Takes columns^2 * 6 bytes, and the time of columns^3 / 6 products in double.
Result<FeedbackFactor> prepare_feedback(const Context& context, const KernelTable& kernels,
                                        std::span<const float> hessian, int64_t columns,
                                        const FeedbackOptions& options);

}  // namespace carat
