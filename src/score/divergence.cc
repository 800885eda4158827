#include "score/divergence.h"

#include <cmath>

namespace carat {

double divergence(const KernelTable& kernels, const float* reference, const LogSumExp& p,
                  const float* candidate, const LogSumExp& q, int64_t n) {
  const float top = reference[p.argmax];
  const float shift = static_cast<float>(p.value - q.value);
  const double sum = weighted_difference(kernels, reference, candidate, top, shift, n);
  const double kl = q.value - p.value + double{shift} + sum / std::exp(p.value - top);
  return kl < 0 ? 0 : kl;
}

}  // namespace carat
