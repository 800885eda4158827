// Files of calibration statistics: llama.cpp's importance matrices, both ways.
//
//   GGUF, general.type = "imatrix"
//     imatrix.datasets [string], imatrix.chunk_count u32, imatrix.chunk_size u32
//     NAME.in_sum2   F32 [matrices, columns]   sums of squares
//     NAME.counts    F32 [matrices, 1]         tokens seen
//     NAME.in_sum    F32 [matrices, columns]   sums; not in all files
//   and what carat adds, which llama.cpp passes over:
//     NAME.in_min, NAME.in_max   F32 [matrices, columns]
//     carat.calibration.{model, arithmetic} string, carat.calibration.texts [string]
//
//   The older form (.dat), little-endian:
//     i32 entries; per entry: i32 length, name, i32 calls, i32 values, f32 [values] (mean square * calls)
//     i32 chunks, i32 length, dataset; both may be missing at the end
//   It holds mean squares only; its calls count as chunks of 512 tokens.
//
// Source: llama.cpp, tools/imatrix/imatrix.cpp, as in llama-cpp-python 0.3.36.
#pragma once

#include <string>

#include "stats/statistics.h"

namespace carat {

/// Either form, told apart by the first bytes. bad_data: neither; not statistics; numbers that are not
/// finite, or negative where there cannot be negative ones, naming the tensor.
Result<CalibrationStatistics> read_statistics(const std::string& path);

enum class StatisticsFormat { gguf, dat };

/// Replaces `path` in one step. bad_data naming the tensor where a number does not fit a float. A .dat file
/// keeps mean squares and datasets only, and ones for what has seen nothing, as llama.cpp's own.
Status write_statistics(const std::string& path, const CalibrationStatistics& statistics,
                        StatisticsFormat format);

}  // namespace carat
