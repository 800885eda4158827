#include "statistics/distributions.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>
#include <limits>

namespace carat {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Errors are infinities or NaN instead of exceptions.
namespace policies = boost::math::policies;
using Quiet =
    policies::policy<policies::domain_error<policies::ignore_error>,
                     policies::pole_error<policies::ignore_error>,
                     policies::overflow_error<policies::ignore_error>,
                     policies::evaluation_error<policies::ignore_error>, policies::promote_double<false>>;
using Normal = boost::math::normal_distribution<double, Quiet>;
using Student = boost::math::students_t_distribution<double, Quiet>;

}  // namespace

double normal_cdf(double z) {
  if (std::isinf(z)) return z < 0 ? 0 : 1;
  return boost::math::cdf(Normal{}, z);
}

double normal_quantile(double p) {
  if (p <= 0) return -kInfinity;
  if (p >= 1) return kInfinity;
  return boost::math::quantile(Normal{}, p);
}

double student_cdf(double t, double degrees) {
  if (std::isinf(t)) return t < 0 ? 0 : 1;
  return degrees < 1 ? 0.5 : boost::math::cdf(Student{degrees}, t);
}

double student_quantile(double p, double degrees) {
  if (p == 0.5) return 0;
  if (p <= 0 || p >= 1 || degrees < 1) return p < 0.5 ? -kInfinity : kInfinity;
  return boost::math::quantile(Student{degrees}, p);
}

double binomial_at_most(int64_t k, int64_t n, double p) {
  if (k < 0) return 0;
  if (k >= n) return 1;
  p = std::clamp(p, 0.0, 1.0);
  return boost::math::ibetac(static_cast<double>(k + 1), static_cast<double>(n - k), p, Quiet{});
}

double binomial_at_least(int64_t k, int64_t n, double p) {
  if (k <= 0) return 1;
  if (k > n) return 0;
  p = std::clamp(p, 0.0, 1.0);
  return boost::math::ibeta(static_cast<double>(k), static_cast<double>(n - k + 1), p, Quiet{});
}

Interval exact_share(double successes, double trials, double confidence) {
  const double alpha = (1 - confidence) / 2;
  const double failures = trials - successes;
  Interval out{0, 1};
  if (!(trials > 0)) return out;
  if (successes > 0)
    out.low = failures > 0 ? boost::math::ibeta_inv(successes, failures + 1, alpha, Quiet{})
                           : std::pow(alpha, 1 / trials);
  if (failures > 0)
    out.high = successes > 0 ? boost::math::ibetac_inv(successes + 1, failures, alpha, Quiet{})
                             : hidden_share(trials, alpha);
  return out;
}

double hidden_share(double trials, double alpha) {
  return trials > 0 ? -std::expm1(std::log(alpha) / trials) : 1;
}

}  // namespace carat
