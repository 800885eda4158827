// What calibration has seen of the inputs of a model's matrices, column by column.
//
// One entry per weight tensor under its GGUF name, as llama.cpp's importance matrices have it, although
// matrices that read the same input hold the same numbers: files, merges and look-ups then know nothing of
// architectures. A tensor of several matrices (experts) has one row of numbers for each.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "containers/checkpoint.h"
#include "stats/calibration_origin.h"

namespace carat {

struct InputStatistics {
  int64_t columns = 0, matrices = 1;
  std::vector<double> counts;           ///< [matrices] tokens seen
  std::vector<double> sum_squares;      ///< [matrices, columns]
  std::vector<double> sum;              ///< [matrices, columns]; empty where the file did not say
  std::vector<float> minimum, maximum;  ///< [matrices, columns]; the same; of no meaning where the count is 0

  /// Mean of the squares of a matrix's columns; empty where it has seen nothing.
  std::vector<float> mean_squares(int64_t matrix) const;
};

struct CalibrationStatistics : CalibrationOrigin {
  std::map<std::string, InputStatistics> tensors;
};

/// bad_data naming file and tensor where `statistics` were made for another model: another identity, a tensor
/// the model lacks or has in another shape. Entries of one row of numbers for several matrices (the older
/// files) are divided among them. `source` names the statistics in messages.
Status fit_statistics(const Checkpoint& checkpoint, const std::string& source,
                      CalibrationStatistics& statistics);

/// As if what `other` saw had been seen too. Where only one of the two has sums or ranges, they are dropped.
/// bad_data: another model, another shape; usage: the same text in both.
Status merge_statistics(const std::string& source, const CalibrationStatistics& other,
                        CalibrationStatistics& into);

}  // namespace carat
