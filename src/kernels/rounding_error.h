// What rounding lost.
#pragma once

#include <cstdint>

namespace carat {

/// What was lost: sums over the rounded elements, in double, added up in row order.
struct RoundingError {
  double squared_error = 0;    ///< sum (w - q)^2
  double squared_weight = 0;   ///< sum w^2
  double weighted_error = 0;   ///< sum importance * (w - q)^2
  double weighted_weight = 0;  ///< sum importance * w^2
  double max_error = 0;
  double feedback_error = 0;  ///< tr(D H D^T) under the H that was factored, D = w - q; 0 without one
  uint64_t underflows = 0;    ///< non-zero values that became zero (float encodings)
  uint64_t overflows = 0;     ///< finite values that became infinite (float encodings): the caller's error
  uint64_t not_finite = 0;    ///< NaN or infinity in the input: the caller's error
  void add(const RoundingError& o);
  double relative() const { return squared_weight > 0 ? squared_error / squared_weight : 0; }
};

}  // namespace carat
