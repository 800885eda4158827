// A tensor seen through a linear rewrite of its rows and columns, computed as rows are read:
//
//   out[r][c] = scale * row_scale[r] * column_scale[c] * in[row[r]][column[c]]
//
// in double, rounded once to F32. Nothing larger than one row is ever held.
#pragma once

#include <cstdint>
#include <vector>

#include "containers/checkpoint.h"

namespace carat {

/// Empty vectors mean "as it is": the identity, or 1.
struct Overlay {
  std::vector<int64_t> row;  ///< source row of each row, -1 for a row of zeros; its size is the new row count
  std::vector<int64_t> column;  ///< the same for columns
  std::vector<double> row_scale, column_scale;
  double scale = 1.0;
};

/// A matrix or a vector (whose entries are its columns) behind the overlay, as F32.
Tensor with_overlay(const Tensor& tensor, Overlay overlay);

}  // namespace carat
