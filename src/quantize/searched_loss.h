// What a matrix that gets error feedback would have lost with the search in its place: the loss "before", to
// put beside that after.
//
// Some of its rows are rounded once more, by the search that weighs columns by the Hessian's diagonal, and
// their loss is taken under the same factored Hessian. Rejected: all rows, which would double the time.
#pragma once

#include "rounders/rounder.h"

namespace carat {

/// Of a tensor; its experts share them.
inline constexpr int64_t kSearchedRows = 64;

class SearchedLoss {
 public:
  /// Adds `count` of these rows, evenly. guide: with feedback, as the rows are rounded with. Errors: the
  /// search's.
  Status sample(const Context& context, const KernelTable& kernels, const Encoding& e, const SourceRows& rows,
                const ColumnGuide& guide, int64_t count);
  /// tr(D H D^T) over sum w^2 H[k][k], as GuideNote::relative_loss; 0 where nothing was sampled.
  double relative() const { return weight_ > 0 ? loss_ / weight_ : 0; }

 private:
  double loss_ = 0, weight_ = 0;
};

}  // namespace carat
