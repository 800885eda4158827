// SmoothQuant (Xiao et al. 2023, equation 4): channels of activations that reach far are made smaller, and
// the weights that read them larger, until both are as hard to round:
//
//   s[j] = max |x[j]|^alpha / max |w[j]|^(1 - alpha)     x[j] / s[j],  w[j] * s[j]
//
// with the largest values over the calibration text and over all matrices that read the channel. It pays
// where activations are rounded too. The paper smooths what reads a norm; here also the inputs of the
// attention output and of down, which are where the largest values of gated models are.
#pragma once

#include "transforms/transform.h"

namespace carat {

const Transform* smoothquant_transform();

}  // namespace carat
