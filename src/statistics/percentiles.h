// Percentiles of times, whose means say little and whose tails are what users feel.
#pragma once

#include <cstdint>
#include <span>

#include "statistics/estimates.h"

namespace carat {

struct PercentileEstimate {
  double value = 0;
  Interval interval;
  int64_t items = 0;
};

/// Value at `fraction` (0 to 1), linear between neighbours. The interval is exact whatever the distribution:
/// between order statistics chosen by binomial probabilities (Hahn and Meeker 1991, section 5.2). An end that
/// so few values cannot bound is infinite: a bootstrap would end it at the largest value seen. No values:
/// value 0, infinite ends.
PercentileEstimate estimate_percentile(std::span<const double> values, double fraction, double confidence);

/// Interval of percentile(candidate) / percentile(baseline), whose values i belong to the same item: 1999
/// resamples of whole items with a fixed seed, percentile method (Efron and Tibshirani 1993, chapter 13),
/// with an end taken as 0 or infinite where estimate_percentile() cannot bound what it needs. Values are
/// above 0, the spans equally long.
Interval percentile_ratio_interval(std::span<const double> baseline, std::span<const double> candidate,
                                   double fraction, double confidence);

}  // namespace carat
