// Parameters that many rows share: the scale of a tensor, of 128 rows x 128 columns. They are chosen before
// the first row is rounded, from a look at all of them.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/context.h"
#include "kernels/kernels.h"
#include "rounders/rounder.h"

namespace carat {

struct SharedScales {
  int64_t band = 0;                ///< rows that share
  int64_t groups = 0;              ///< of a row
  std::vector<float> scale, zero;  ///< [band of the matrix][group]

  /// The guide for rows within one band, of which `row` is one.
  void guide(int64_t row, ColumnGuide& guide) const {
    const auto at = static_cast<size_t>(row / band * groups), n = static_cast<size_t>(groups);
    guide.scale = std::span(scale).subspan(at, n);
    guide.zero = std::span(zero).subspan(at, n);
  }
};

/// Rows of a matrix as floats: first row, how many, [rows, columns].
using ReadRows = std::function<Status(int64_t, int64_t, float*)>;

/// For a matrix of rows x columns. `extremes`: parameters are those that plain rounding takes from the
/// largest and smallest weight; otherwise of some that draw the range in, those of least error, weighed by
/// importance (one per column, or empty), on up to 1,024 rows that are spread evenly over each band.
Result<SharedScales> share_scales(const Context& context, const KernelTable& kernels, const Encoding& e,
                                  int64_t rows, int64_t columns, const ReadRows& read, bool extremes,
                                  std::span<const float> importance);

/// Rounds a whole matrix that is in memory, after choosing what its rows share, if anything. guide: without
/// scale and zero; out: rows * row_bytes. Errors: those of share_scales() and of the rounder.
Result<RoundingError> round_matrix(const Context& context, const KernelTable& kernels, const Rounder& rounder,
                                   const Encoding& e, const SourceRows& source, ColumnGuide guide,
                                   uint8_t* out);

}  // namespace carat
