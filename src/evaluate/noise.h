// The noise floor of an exam: how much its figures move when the same variant sits it again with other
// seeds, threads and batches. A margin below it cannot be judged.
#pragma once

#include <string>
#include <vector>

#include "cards/scorecard.h"

namespace carat {

struct NoiseFloor {
  std::string task, slice, metric;
  double mean = 0;                ///< over the runs
  double largest_difference = 0;  ///< between the first run and another
};

/// Of the same exam sat several times; the first is what the others are compared with. A slice that is not in
/// all of them is left out.
std::vector<NoiseFloor> noise_floor(const std::vector<Scorecard>& runs);

}  // namespace carat
