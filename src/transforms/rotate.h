// rotate: the residual stream and the values of attention heads in other coordinates, in which no channel of
// activations or weights stands out (QuaRot, Ashkboos et al. 2024, sections 3 and 4, as far as it needs no
// work at run time; a Hadamard matrix with random signs).
//
//   norm gains                 move into the columns of what reads the norm; 1 then
//   embedding, readers * R     columns
//   attention output, down     rows, R^T W
//   v and attention output     within each head, rows and columns
//
// A norm without gains is the same in any coordinates. Where the embedding is also the output matrix, the
// gains of the last norm cannot move into it: an output matrix of its own is written, at its cost in bytes.
#pragma once

#include "transforms/transform.h"

namespace carat {

const Transform* rotate_transform();

}  // namespace carat
