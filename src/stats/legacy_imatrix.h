// The older form of llama.cpp's importance matrices (layout in statistics_file.h). Internal to stats/.
#pragma once

#include <string>

#include "base/checked.h"
#include "stats/statistics.h"

namespace carat {

Result<CalibrationStatistics> read_legacy_imatrix(Bytes bytes);
Status write_legacy_imatrix(const std::string& path, const CalibrationStatistics& statistics);

}  // namespace carat
