// Means with intervals that are honest about clusters: items that share a passage are not independent
// (Miller 2024, arXiv 2411.00640).
#pragma once

#include <cstdint>
#include <span>

namespace carat {

struct Interval {
  double low = 0, high = 0;
};

struct MeanEstimate {
  double mean = 0;
  double standard_error = 0;  ///< clustered
  Interval interval;          ///< 95 %
  int64_t items = 0, clusters = 0;
};

/// Mean of `values` with `weights` (empty = equal), `clusters[i]` numbering the group of value i. Few or
/// extreme binary values get an exact interval, never one of width 0.
MeanEstimate estimate_mean(std::span<const double> values, std::span<const double> weights,
                           std::span<const int64_t> clusters);

}  // namespace carat
