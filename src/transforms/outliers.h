// Gives a model outliers, without changing what it computes: the channels that make large models hard to
// quantize, in a model small enough to try every method on.
//
// In every norm whose gain can trade factors with its readers (arch/family.h declares them), a few channels
// are enlarged, and the columns that read them are reduced by as much. What is rounded in groups of columns
// then loses nearly all of the other channels of the group: what LLM.int8() and SmoothQuant were made for.
#pragma once

#include <cstdint>

#include "containers/checkpoint.h"

namespace carat {

struct OutlierOptions {
  uint64_t seed = 0;
  int64_t channels = 6;  ///< of each norm; the same ones in all, as in real models
  double factor = 30;
};

/// Lazy: tensors are rewritten as they are read, as F32. Recorded as carat.transform.outliers. A usage error
/// where there are fewer channels, or a factor outside 1 to 10,000.
Result<Checkpoint> inject_outliers(Checkpoint in, const OutlierOptions& options);

}  // namespace carat
