// Reading every value of a tensor: its range, and whether all values are numbers.
#pragma once

#include <optional>

#include "base/context.h"
#include "containers/checkpoint.h"

namespace carat {

struct ValueRange {
  float min = 0, max = 0;   ///< of the finite values; 0 where there are none
  uint64_t not_finite = 0;  ///< NaN and infinite values
};

/// Nothing for encodings carat can carry but not decode. Memory: a few megabytes, whatever the tensor's size.
Result<std::optional<ValueRange>> scan_values(const Context& context, const Tensor& tensor);

}  // namespace carat
