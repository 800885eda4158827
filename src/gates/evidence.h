// The paired items of one metric on one slice, reduced to what tests and intervals need. Kept with a
// difference, because a margin is only known later.
#pragma once

#include <vector>

#include "statistics/paired_clusters.h"
#include "statistics/paired_shares.h"

namespace carat {

struct DamageEvidence {
  /// Judgements of single items: exact tests of counts; else means of clusters.
  bool counted = false;
  PairedCounts counts;
  std::vector<ClusterSum> clusters;
  double scale = 1;  ///< of a difference nobody has seen: ClusterDifference

  int64_t units() const { return counted ? counts.items : static_cast<int64_t>(clusters.size()); }
};

/// What evidence says of the damage. Computing it takes 9999 resamples where it is not counted.
class DamageTest {
 public:
  explicit DamageTest(const DamageEvidence& evidence);
  Interval interval(double confidence) const;
  double p_at_least(double margin) const;
  double p_at_most(double margin) const;
  /// Of no difference at all, against damage: McNemar's exact test, or sign flips of clusters.
  double p_worse() const;
  /// 0 where nothing moved.
  double standard_error() const;

 private:
  const DamageEvidence& evidence_;
  ClusterDifference difference_;
};

}  // namespace carat
