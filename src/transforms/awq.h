// AWQ (Lin et al. 2023): columns that read much are made larger before rounding, and what they read smaller,
// so that they lose less of a scale they share with others. The factors of a group of channels are
//
//   s = x^r / w^(1 - r)   or   s = x^r,    r = 0, 1/20, ..., 19/20
//
// (with and without "duo scaling"), x the root mean square of what calibration saw of a channel, w the mean
// over rows of |weight| as a share of the largest of its group of columns; and s = 1. The choice is that of
// least error of the outputs, by rounding a sample of rows of every matrix of the group to the encoding that
// it will get, with the rounder that it will meet. Every fourth exponent is tried, then those between them
// around the best: the error is a shallow bowl, and codebooks take long.
//
// Differences from the paper's program: the error is sum over columns of E[x^2] * (w - q)^2, the expected
// output error where the errors of columns are independent, which needs no activations to be kept; x is a
// root mean square where theirs is a mean of absolute values; clipping is left to the rounder, which searches
// scales under the same error anyway.
#pragma once

#include "transforms/transform.h"

namespace carat {

const Transform* awq_transform();

}  // namespace carat
