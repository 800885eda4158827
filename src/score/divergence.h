// How far one next-token distribution is from another.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace carat {

/// KL(reference || candidate) in nats of two rows of n logits, whose log-sum-exps are p and q:
/// sum_i p_i (log p_i - log q_i), as log Z_q - log Z_p + s + sum_i p_i (reference_i - candidate_i - s) with
/// s = log Z_p - log Z_q, which keeps the terms as small as the distributions are close, and is exactly 0 for
/// equal rows. Rounding leaves an error of some 1e-7 (docs/numerics.md); what comes out below 0 becomes 0.
double divergence(const KernelTable& kernels, const float* reference, const LogSumExp& p,
                  const float* candidate, const LogSumExp& q, int64_t n);

}  // namespace carat
