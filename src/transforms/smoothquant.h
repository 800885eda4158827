// SmoothQuant (Xiao et al. 2023, equation 4): channels of activations that reach far are made smaller, and
// the weights that read them larger, until both are as hard to round:
//
//   s[j] = rms(x[j])^alpha / max |w[j]|^(1 - alpha)     x[j] / s[j],  w[j] * s[j]
//
// over the calibration text, and over all matrices that read the channel. It pays where activations are
// rounded too. The paper has max |x[j]| for rms(x[j]), which a few tokens decide (those that attention sinks
// into reach hundreds of times as far as others); that is right for one scale for all tokens, but where each
// token has its own they spoil none but themselves. With W8A8 of a 135M model the mean KL is 0.0130 this way
// and 0.0163 the paper's (docs/methods.md). The paper smooths what reads a norm; here also the inputs of the
// attention output and of down, which are where the largest values of gated models are.
#pragma once

#include "transforms/transform.h"

namespace carat {

const Transform* smoothquant_transform();

}  // namespace carat
