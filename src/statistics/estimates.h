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

/// Mean of `values` with `weights` (empty = equal), `clusters[i]` numbering the group of value i (empty =
/// each on its own). Few or extreme binary values get an exact interval, never one of width 0.
///
/// Values and weights are finite, weights positive, and the spans as long as `values`.
///  - mean = sum(w x) / sum(w); standard error = sqrt(G/(G-1) sum over clusters of (sum w (x - mean))^2) /
///  sum(w):
///    Miller's clustered error (section 2.2) with weights and the correction for G clusters; with every item
///    on its own and equal weights it is s / sqrt(n).
///  - binary (every value 0 or 1, equal weights): Clopper and Pearson's exact interval; where items share
///    clusters, with the effective number of items p (1-p) / error^2 (Korn and Graubard 1998), or the number
///    of clusters where all answers are alike.
///  - else mean +- t(0.975, G-1) errors. Values without any spread are taken to hide, in at most
///    1 - 0.025^(1/G) of the clusters ("rule of three"), values that differ by their own size (by 1 where 0).
/// One cluster says nothing of the spread between clusters: [0, 1] if binary, else infinite on both sides. So
/// do no values.
MeanEstimate estimate_mean(std::span<const double> values, std::span<const double> weights,
                           std::span<const int64_t> clusters);

}  // namespace carat
