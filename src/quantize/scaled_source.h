// Sources whose matrices have factors beside them (arch/tensor_scales.h): where such a matrix is rounded
// anew, it is rounded with its factors multiplied in, and they are not written.
#pragma once

#include "quantize/quantize.h"

namespace carat {

struct Method;

/// `checkpoint` as a plan under `options` reads it. Where the method changes tensors, or goes through the
/// model, no matrix keeps its factors; else those do that are copied as they are. usage error: that would
/// requantize without leave. `notes`, when not null, is told.
Result<Checkpoint> scaled_source(const Checkpoint& checkpoint, const Method& method,
                                 const QuantizeOptions& options, std::vector<std::string>* notes);
/// The same before a recipe is found: no matrix keeps its factors.
Result<Checkpoint> scaled_source(const Checkpoint& checkpoint, bool allow_requantize);

/// Rounding what is rounded already was not asked for.
Error would_requantize(const Checkpoint& checkpoint, std::string_view tensor, const Encoding& from,
                       std::string_view to);

}  // namespace carat
