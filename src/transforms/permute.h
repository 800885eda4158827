// permute: channels in the order of how much energy calibration saw in them, so that those that matter alike
// share a scale, and come first where columns are rounded one after the other. Act-order (GPTQ's desc_act)
// without an index at run time.
//
// Feed-forward channels change places freely (rows of gate and up, columns of down); value channels within
// their head. What reads a norm keeps its order: the residual stream is read by all layers.
#pragma once

#include "transforms/transform.h"

namespace carat {

const Transform* permute_transform();

}  // namespace carat
