// The few distribution functions that the other files need, from Boost.Math, whose headers are read in one
// place only: they are slow to compile, and its errors are exceptions, which must not get out.
#pragma once

#include <cstdint>

#include "statistics/estimates.h"

namespace carat {

double normal_cdf(double z);
/// 0 < p < 1; outside of it -infinity or +infinity.
double normal_quantile(double p);
double student_cdf(double t, double degrees);
/// +-infinity where p is not within (0, 1) or degrees < 1: nothing is known of the spread of one value.
double student_quantile(double p, double degrees);

/// P(X <= k) and P(X >= k) of X ~ binomial(n, p).
double binomial_at_most(int64_t k, int64_t n, double p);
double binomial_at_least(int64_t k, int64_t n, double p);

/// The exact interval of a share (Clopper and Pearson 1934), two-sided. Successes and trials need not be
/// whole: with an effective number of trials it is Korn and Graubard's interval (1998) for clustered samples.
/// 0 <= successes <= trials; no trials: [0, 1].
Interval exact_share(double successes, double trials, double confidence);

/// The largest share that can hide behind no success in n trials, one-sided: 1 - alpha^(1/n), about 3/n at 5
/// %
/// ("rule of three", Hanley and Lippman-Hand 1983). The upper bound of exact_share(0, n, 1 - 2 alpha).
double hidden_share(double trials, double alpha);

}  // namespace carat
