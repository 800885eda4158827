// What data says about the tensors of a model, asked while they are streamed.
#pragma once

#include "base/context.h"
#include "containers/checkpoint.h"
#include "quantize/quantize.h"
#include "rounders/rounder.h"

namespace carat {

class Guide {
 public:
  virtual ~Guide() = default;
  /// Before the first rows of a tensor are rounded.
  virtual Status begin(const Context& context, size_t tensor) = 0;
  /// Then, where its rounder wants feedback, before the first row of each of its matrices: one, or as many as
  /// are stacked in it. What is returned stays valid until the next call.
  virtual Result<ColumnGuide> matrix(const Context& context, size_t tensor, int64_t matrix) = 0;
  /// Rows [first, first + rows) of the tensor as they are stored in the output.
  virtual Status rounded(const Context& context, size_t tensor, int64_t first, int64_t rows,
                         Bytes stored) = 0;
  virtual Result<GuideNote> finished(const Context& context, size_t tensor) = 0;
  /// In place of the four: a tensor that an interrupted run has rounded already.
  virtual Status take_over(const Context& context, size_t tensor, Bytes stored) = 0;
};

}  // namespace carat
