// The same items measured twice, in clusters that stand or fall together (a document, a template, the repeats
// of an item): the mean difference, and how sure it is. Clusters are the units of everything here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "statistics/estimates.h"

namespace carat {

/// Of one cluster: sum of weight x difference, and sum of weight.
struct ClusterSum {
  double sum = 0, weight = 0;
};

/// The weighted mean difference sum(sum) / sum(weight) of independent clusters.
///
/// Its interval is the widest of up to four, and each p the largest, because each alone fails somewhere:
///  - t: mean +- t(G-1) clustered errors (Miller 2024 section 4 with clusters), which errs for skewed
///  differences;
///  - BCa: 9999 resamples of whole clusters, bias-corrected and accelerated (Efron 1987; Efron and Tibshirani
///    1993, chapter 14), which errs for few clusters;
///  - the same resamples, studentized: t from their own distribution instead of Student's (bootstrap-t: Hall
///    1988; Efron and Tibshirani 1993, chapter 12.5), which halves what the others err for few clusters whose
///    differences are skewed;
///  - where most clusters did not move at all (fewer than 25 did, of more): the share of clusters that moved,
///  each
///    way, bounded exactly as in paired_shares.h, times the mean size of a move. Resampling what was never
///    seen promises that it does not exist.
/// Deterministic: the resamples are drawn with a fixed seed.
class ClusterDifference {
 public:
  /// Weights are positive, sums finite. `scale`: how large a difference would be that was never seen, 1 for
  /// shares, a standard deviation of the metric otherwise; used where no cluster moved.
  ClusterDifference(std::vector<ClusterSum> clusters, double scale);

  double mean() const { return mean_; }
  double standard_error() const { return error_; }  ///< 0 for one cluster
  int64_t clusters() const { return static_cast<int64_t>(clusters_.size()); }
  int64_t moved() const { return worse_ + better_; }  ///< clusters with another sum than 0

  /// Two-sided. Infinite for fewer than two clusters.
  Interval interval(double confidence) const;
  /// p of the hypothesis that the true mean is at least (at most) `margin`; 1 for fewer than two clusters.
  double p_at_least(double margin) const;
  double p_at_most(double margin) const;

  /// p of the hypothesis that either sign of every cluster's difference is as likely, against a positive
  /// mean: the sign-flip permutation test (Fisher 1935), all flips for up to 13 moved clusters, else 9999
  /// drawn ones. Exact for an A/A comparison, whatever the distribution; for single binary items it is
  /// McNemar's test.
  double p_sign_flip() const;

 private:
  void resample();
  double corrected(double level) const;
  double corrected_p(double margin) const;
  bool sparse() const;

  std::vector<ClusterSum> clusters_;
  double scale_ = 1, mean_ = 0, error_ = 0;
  int64_t worse_ = 0, better_ = 0;
  double move_ = 0;                  // mean size of a move of a cluster, as it enters the mean
  std::vector<double> resamples_;    // means, ascending; empty where there is no spread
  std::vector<double> studentized_;  // their distances from the mean in errors of their own, ascending
  double bias_ = 0, skewness_ = 0;   // z0 and a of BCa
};

}  // namespace carat
