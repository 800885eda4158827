// Two variants on the same items: paired differences per slice, their uncertainty, and the items that
// flipped.
#pragma once

#include <string>
#include <vector>

#include "cards/scorecard.h"

namespace carat {

/// The difference on one metric of one slice, as damage: positive = the candidate is worse, whatever the
/// direction of the metric.
struct SliceDifference {
  std::string task, dimension, slice, metric;
  bool binary = false;
  double baseline = 0, candidate = 0;  ///< means over the paired items
  double damage = 0;
  Interval interval;   ///< of the damage, 95 % two-sided
  double p_worse = 1;  ///< one-sided: exact McNemar for binary alone in its cluster, else cluster bootstrap
  int64_t items = 0, clusters = 0;
  int64_t worse = 0, better = 0;  ///< binary: items right before and wrong now, and the reverse
  int64_t missing = 0;            ///< scored in one only
  double detectable = 0;          ///< smallest damage found with 80 % power at this size
};

struct Flip {
  std::string task, item, slice;  ///< the first slice
  std::string question, expected, baseline_answer, candidate_answer;
  bool worse = false;
};

struct Comparison {
  std::string baseline, candidate;  ///< variant names
  std::string suite, suite_version, suite_digest;
  std::vector<SliceDifference> slices;  ///< "" (the whole task) first, then its slices
  std::vector<Flip> flips;              ///< worse first
  std::vector<std::string> notes;  ///< what a reader must know: other threads, other kernels, stale cards
};

/// Errors (Code::bad_data): other suite digests, cards without records.
Result<Comparison> compare_cards(const Scorecard& baseline, const Scorecard& candidate);

}  // namespace carat
