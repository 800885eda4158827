// How fast weights are quantized, apart from reading and writing files.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "containers/checkpoint.h"
#include "measure/speed.h"
#include "recipes/recipe.h"

namespace carat {

struct RoundingRate {
  std::string recipe;
  int threads = 0;
  Spread rate;    ///< weights per second over the recipe's mix of encodings
  Spread memory;  ///< bytes read and written, as a share of the read bandwidth
  std::vector<std::pair<const Encoding*, double>> encodings;  ///< medians
};

/// Rounds made-up BF16 weights in the shapes of `checkpoint`, `method` being a rounder's name or empty for
/// the default one. Each encoding that the recipe chooses is measured on some millions of weights; the rate
/// of the mix follows from how many weights get which.
Result<RoundingRate> measure_rounding(const Context& context, const LimitMeter& meter,
                                      const Checkpoint& checkpoint, const Recipe& recipe,
                                      const std::string& method, int repetitions);

}  // namespace carat
