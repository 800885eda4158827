// How much an exam can see: what damage it would find, and how many items would decide.
#pragma once

#include <cstdint>

namespace carat {

/// The true damage that a one-sided test at `alpha` finds with probability `power`, given the standard error
/// of the paired difference: (z(1-alpha) + z(power)) error (Miller 2024, section 5).
double detectable_effect(double standard_error, double alpha, double power);

/// About how many items would decide whether damage is within `margin`, if the damage and the spread that
/// were seen in `items` are the truth: items ((z(1-alpha) + z(power)) error / (margin - damage))^2, Miller's
/// formula with the distance from the margin for the effect; more than `items`. Clusters of the same size are
/// meant. 2^53 where damage equals the margin.
int64_t items_to_decide(int64_t items, double standard_error, double damage, double margin, double alpha,
                        double power);

/// Items without any change that would show that damage is at most `margin` of `scale`: ln(alpha) / ln(1 -
/// margin / scale). 1 where the margin is no less than the scale, 2^53 where it is not above 0.
int64_t unchanged_items_to_pass(double margin, double scale, double alpha);

}  // namespace carat
