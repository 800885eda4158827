// Weights that make up for what the inputs of a matrix have lost already.
//
// In a walk, a matrix meets inputs x that rounding has moved away from those of the unrounded model, x + d.
// What of W d can be told from x is had by other weights: W* minimises |W (x + d) - W* x|^2, summed over
// tokens,
//   W* = W + W D H^-1,  D = sum d x^T,  H = sum x x^T
// and W* is what is rounded. GPTAQ (Li et al. 2025, section 3) and QEP (Arai and Ichikawa 2025, section 4)
// found that; QEP takes a share of the step only, because D from a few thousand tokens is noise in part,
// which here the shrunk and damped H of the factor holds down as well. Measured in
// docs/methods.md: the whole step gains less than half of it does. Parameters that rows share are those of W.
#pragma once

#include <span>
#include <vector>

#include "rounders/rounder.h"

namespace carat {

/// Summed over the tokens of a Hessian.
struct InputDrift {
  std::span<const float> moments;  ///< [columns, columns]: at [j, i] the sum of x_j d_i
  double share = 0;                ///< of the step that is taken, 0 to 1
};

/// W* of these rows, [rows, columns], each row by itself. Takes 2 * rows * columns^2 products in float32, and
/// 2 * rows * columns floats. Errors: weights that are finite no longer; of a factor or drift of other
/// columns; interruption.
Result<std::vector<float>> weights_for_drift(const Context& context, const KernelTable& kernels,
                                             const FeedbackFactor& factor, const InputDrift& drift,
                                             const SourceRows& source);

}  // namespace carat
