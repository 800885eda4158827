// Moves weights off the grid they were once quantized on, without changing what the model computes.
//
// Weights that were dequantized from, say, Q4_1 sit exactly on that grid, and a quantizer with an equal grid
// finds them again for nothing: its error would say nothing about real weights. So every channel gets a
// random factor s where a factor can pass between two tensors (arch/family.h declares where):
//
//   norm gain * s                 and the columns that read the norm / s
//   rows of v (and bias) * s      and the columns of o / s: one s per key-value channel, shared by the query
//                                 heads of its group
//   rows of up * s                and the columns of down / s
//
// with s = exp(sigma * N(0, 1)).
#pragma once

#include <cstdint>

#include "containers/checkpoint.h"

namespace carat {

/// Lazy: tensors are rewritten as they are read, as F32. With tied embeddings the output norm keeps its gain:
/// its reader is then the embedding, which the residual stream starts from. Recorded as
/// carat.transform.rescale. The factors depend on the seed and the tensors' names, not on the order of
/// reading. sigma is in [0, 1].
Result<Checkpoint> rescale(Checkpoint in, uint64_t seed, double sigma);

}  // namespace carat
