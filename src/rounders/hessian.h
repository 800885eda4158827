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
#include <string_view>
#include <vector>

#include "base/context.h"
#include "kernels/kernels.h"
#include "kernels/search_table.h"

namespace carat {

/// In which order columns are rounded. The first ones have most to choose from, being made up for by all
/// others.
enum class ColumnOrder {
  natural,
  /// By descending diagonal of H (static act-order); blocks' parameters are chosen before any column is
  /// rounded.
  descending,
  /// Blocks, within them leaves, within them columns by descending diagonal (group-aware act-order): each
  /// block's parameters are chosen when it is reached. For encodings of one block and leaf.
  grouped
};

std::string_view column_order_name(ColumnOrder order);

struct FeedbackOptions {
  double shrink = 0.4;      ///< H <- (1 - shrink) H + shrink diag(H); 0 to 1
  double damp = 0.05;       ///< times the mean of the diagonal, added to the diagonal
  double damp_limit = 1.0;  ///< where H does not factor, damp is doubled (from 0.01 at least) up to this
  ColumnOrder order = ColumnOrder::natural;
  int64_t block = 0, leaf = 0;  ///< of the encoding, for ColumnOrder::grouped
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
  std::vector<int32_t> order;   ///< column at each position; empty: its own
  int64_t block = 0, leaf = 0;  ///< what `order` keeps together; 0: nothing
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

/// The same loss as feedback sums up while it rounds: tr(D H D^T) under the H that was factored. differences:
/// D = weights - rounded, [rows, columns], in the columns' own order. Takes rows * columns^2 / 2 products in
/// float32.
double factored_loss(const Context& context, const FeedbackFactor& factor,
                     std::span<const float> differences);

/// tr(D H D^T), D = weights - rounded, both [rows, columns]: what rounding costs the outputs, summed over the
/// tokens of a Hessian of which both triangles are there. Takes the time of rows * columns^2 products in
/// float32.
Result<double> feedback_loss(const Context& context, const KernelTable& kernels,
                             std::span<const float> hessian, int64_t columns, std::span<const float> weights,
                             std::span<const float> rounded);

}  // namespace carat
