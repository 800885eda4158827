// Measuring what rounding lost, in an order that no split of the work changes.
#pragma once

#include <span>

#include "rounders/rounder.h"

namespace carat {

/// Adds n weights and what they became to e. Weights or results that are not finite are counted, not summed.
/// importance: n numbers, or empty for 1.
void measure(const float* weights, const float* rounded, int64_t n, std::span<const float> importance,
             bool is_float, RoundingError& e);

}  // namespace carat
