// How far one next-token distribution is from another.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace carat {

/// KL(reference || candidate) in nats of two rows of n logits: sum_i p_i (log p_i - log q_i), as
/// log Z_q - log Z_p + sum_i p_i (reference_i - candidate_i), which is exactly 0 for equal rows. In double,
/// in order. The log-sum-exps are those of the rows. Rounding can leave a value of about -1e-15, which
/// becomes 0.
double divergence(const float* reference, double reference_log_sum_exp, const float* candidate,
                  double candidate_log_sum_exp, int64_t n);

}  // namespace carat
