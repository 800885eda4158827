// Many slices, one decision: p values adjusted for how many were looked at. The adjusted p is at most the
// level exactly where the procedure rejects.
#pragma once

#include <span>
#include <vector>

namespace carat {

/// Holm 1979: holds the probability of any false rejection, however the tests depend on each other.
std::vector<double> adjust_holm(std::span<const double> p);
/// Benjamini and Hochberg 1995: holds the expected share of false ones among the rejections.
std::vector<double> adjust_benjamini_hochberg(std::span<const double> p);

}  // namespace carat
