#include "statistics/power.h"

#include <algorithm>
#include <cmath>

#include "statistics/distributions.h"

namespace carat {
namespace {

constexpr double kMost = 0x1p53;

int64_t whole(double items) { return static_cast<int64_t>(std::ceil(std::min(items, kMost))); }

}  // namespace

double detectable_effect(double standard_error, double alpha, double power) {
  return (normal_quantile(1 - alpha) + normal_quantile(power)) * standard_error;
}

int64_t items_to_decide(int64_t items, double standard_error, double damage, double margin, double alpha,
                        double power) {
  const double distance = std::abs(margin - damage);
  const double ratio = distance > 0 ? detectable_effect(standard_error, alpha, power) / distance : kMost;
  return std::max(items + 1, whole(static_cast<double>(items) * ratio * ratio));
}

int64_t unchanged_items_to_pass(double margin, double scale, double alpha) {
  if (!(margin > 0)) return whole(kMost);
  if (margin >= scale) return 1;
  return whole(std::log(alpha) / std::log1p(-margin / scale));
}

}  // namespace carat
