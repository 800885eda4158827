#include "score/divergence.h"

#include <algorithm>
#include <cmath>

namespace carat {

double divergence(const float* reference, double reference_log_sum_exp, const float* candidate,
                  double candidate_log_sum_exp, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double p = std::exp(reference[i] - reference_log_sum_exp);
    sum += p * (static_cast<double>(reference[i]) - candidate[i]);
  }
  return std::max(0.0, candidate_log_sum_exp - reference_log_sum_exp + sum);
}

}  // namespace carat
