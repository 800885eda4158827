// What calibration says of the columns of the tensors that are quantized.
//
// Metadata keys of the output, beside those that llama-quantize writes (quantize.imatrix.file, .dataset,
// .entries_count, .chunks_count):
//   carat.importance.digest       SHA-256 of the importance of every tensor that has it
//   carat.importance.texts        digests of the calibration texts, where the statistics hold them
//   carat.importance.arithmetic   how they were computed; the same
#pragma once

#include <string>
#include <vector>

#include "containers/checkpoint.h"
#include "stats/statistics.h"

namespace carat {

/// By matrix: mean squares of the columns, or empty where the matrix has seen nothing. Empty: no statistics.
using TensorImportance = std::vector<std::vector<float>>;

/// What is written about the calibration.
struct CalibrationRecord {
  std::string file, dataset;
  uint64_t entries = 0, chunks = 0;
  std::string digest;
  std::vector<std::string> texts;
  TextSketch sketch;
  std::string arithmetic;
};

/// Of `tensor`; empty where there are no statistics for it. bad_data where they do not fit its shape.
Result<TensorImportance> importance_of(const Checkpoint& checkpoint, const Tensor& tensor,
                                       const CalibrationStatistics& statistics);

CalibrationRecord calibration_record(const Checkpoint& checkpoint, const std::string& file,
                                     const CalibrationStatistics& statistics,
                                     const std::vector<TensorImportance>& importance);
void set_calibration(Metadata& metadata, const CalibrationRecord& record);

}  // namespace carat
