// The same items judged right or wrong twice: how much the share of right answers dropped. Only items whose
// judgement changed say anything; with few of them normal approximations promise more than they hold, so
// tests and bounds are exact there.
//
// Rejected: the exact interval conditional on the changed items (with none of them it says nothing, or is
// one-sided: Newcombe 1998); Wald's and the plain bootstrap (width 0 where no answer changed); an unpaired
// z-test (blind to what pairing gains).
#pragma once

#include <cstdint>

#include "statistics/estimates.h"

namespace carat {

struct PairedCounts {
  int64_t items = 0;
  int64_t worse = 0, better = 0;  ///< right before and wrong now; the reverse. Their sum is at most `items`

  double damage() const {
    return items ? static_cast<double>(worse - better) / static_cast<double>(items) : 0;
  }
  PairedCounts reversed() const { return {items, better, worse}; }
};

struct McNemar {
  double p = 1;      ///< exact
  double mid_p = 1;  ///< with half the probability of what was seen: less conservative, not exact
};
/// McNemar's test (1947), exact and one-sided: the probability of so many changes for the worse among the
/// changes if either direction were as likely. P(X >= worse), X ~ binomial(worse + better, 1/2).
McNemar mcnemar(int64_t worse, int64_t better);

/// Fewer changed items than these are judged by the exact methods.
inline constexpr int64_t kExactBelow = 25;

/// p of the hypothesis that the true damage is at least `margin`, -1 < margin < 1: small = shown to be less.
/// Tango's score statistic (1998), its distribution normal, or with few changed items exact (unconditional,
/// over all tables as extreme by that statistic): the largest probability over the nuisance, the true share
/// of changes for the better, within its 1 - 1e-5 interval, plus 1e-5 (Berger and Boos 1994).
double p_damage_at_least(const PairedCounts& counts, double margin);

/// p of the hypothesis that the true damage is at most `margin`: small = shown to be more. The same
/// statistics the other way round; for margin 0 McNemar's exact test.
double p_damage_at_most(const PairedCounts& counts, double margin);

/// Two-sided interval of the damage: the margins that neither test refuses at (1 - confidence) / 2 each. No
/// items:
/// [-1, 1].
Interval damage_interval(const PairedCounts& counts, double confidence);

/// The parts of the above, for validation. z: Tango's statistic of damage `margin`.
double score_statistic(const PairedCounts& counts, double margin);
double exact_p_damage_at_least(const PairedCounts& counts, double margin);

}  // namespace carat
