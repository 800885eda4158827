// Products with the inverse of a factored Hessian.
#pragma once

#include <span>

#include "base/context.h"
#include "kernels/kernels.h"
#include "rounders/hessian.h"

namespace carat {

/// x <- x H^-1 for the H that was factored, shrunk and damped; 0 in columns that no token used. x: [rows,
/// columns] in the columns' own order. Each row by itself, so that any number of rows and threads gives the
/// same. Two triangles are solved in float32: with R[j][k] = A[j][k] / A[k][k], as the factor has it,
///   u_j = x_j - sum over k > j of u_k R[j][k]        from the last column to the first
///   z_k = u_k / A[k][k]^2 - sum over j < k of z_j R[j][k]
/// Takes rows * columns^2 products, and memory of 384 * columns floats.
Status solve_feedback(const Context& context, const KernelTable& kernels, const FeedbackFactor& factor,
                      std::span<float> x);

}  // namespace carat
