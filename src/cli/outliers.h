// carat inspect --outliers: the columns that make a model hard to quantize.
#pragma once

#include "cli/console.h"
#include "stats/statistics.h"

namespace carat {

/// Tensors from the hardest to the easiest, with the columns that stand out: JSON or a table.
Status print_outliers(const std::string& path, const CalibrationStatistics& statistics, Console& console);

}  // namespace carat
