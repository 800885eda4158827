// What calibration saw of the channels of a fold group.
#pragma once

#include <vector>

#include "base/error.h"
#include "stats/statistics.h"
#include "transforms/fold.h"

namespace carat {

struct GroupStatistics {
  std::vector<float> mean_square;  ///< [columns] of what the readers read
  std::vector<double> magnitude;   ///< [channels] root mean square over the columns that show the channel
};

/// bad_data naming the first reader if it has no statistics, or has seen nothing, or not finite numbers.
Result<GroupStatistics> statistics_of(const FoldGroup& group, const CalibrationStatistics& statistics);

}  // namespace carat
