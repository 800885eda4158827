// What happens to a checkpoint before its tensors are streamed: it is put into the order that the rounder
// wants, calibrated where the method needs statistics and was given text, and transformed.
#pragma once

#include "base/context.h"
#include "quantize/quantize.h"
#include "quantize/work.h"

namespace carat {

struct Prepared {
  Checkpoint checkpoint;  ///< to be written as `work` says
  Work work;
  std::vector<TransformNote> notes;
};

/// Everything that can be refused without reading weights is refused before any are read. Errors: those of
/// planning, calibrate() and the transforms.
Result<Prepared> prepare_quantize(const Context& context, const Checkpoint& checkpoint,
                                  const QuantizeOptions& options);

}  // namespace carat
