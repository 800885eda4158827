// Two variants on the same items: paired differences per slice, their uncertainty, and the items that
// flipped.
#pragma once

#include <string>
#include <vector>

#include "cards/scorecard.h"
#include "gates/evidence.h"

namespace carat {

/// The difference on one metric of one slice, as damage: positive = the candidate is worse, whatever the
/// direction of the metric.
struct SliceDifference {
  std::string task, dimension, slice, metric;
  bool binary = false;
  double baseline = 0, candidate = 0;  ///< means over the paired items
  double damage = 0;
  double standard_error = 0;  ///< of the damage; 0 where nothing moved
  Interval interval;          ///< of the damage, 95 % two-sided
  double p_worse = 1;  ///< one-sided, no difference: exact McNemar for binary alone in its cluster, else
                       ///< flips of whole clusters
  double mid_p = 1;    ///< McNemar's, where that was the test; else p_worse
  int64_t items = 0, clusters = 0;
  int64_t worse = 0, better = 0;  ///< binary: items right before and wrong now, and the reverse
  int64_t missing = 0;            ///< items scored in one only
  int64_t unscored = 0;           ///< items scored in neither
  double detectable = 0;          ///< smallest damage found with 80 % power at this size
  Interval baseline_interval;     ///< of its mean, 95 %
  double chance = 0;              ///< what guessing gives: mean of the metric "chance", 0 without
  DamageEvidence evidence;
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
  /// Answers that a card sums up and does not have: whatever was found, something was not looked at.
  std::vector<std::string> gaps;
  std::vector<std::string> notes;  ///< what a reader must know: other threads, other kernels, stale cards
};

/// Items are paired by task, item and repeat; the repeats of an item are averaged before anything else.
/// Slices are those of either card. A metric without a known direction is left out and named in the notes;
/// metrics per token are not compared where the tokens differ (the items are then missing). Errors
/// (Code::bad_data): other suite digests, cards without records, an answer that is there twice.
Result<Comparison> compare_cards(const Scorecard& baseline, const Scorecard& candidate);

}  // namespace carat
