// How large weights may be. Scales are stored as F16, E4M3, ... and end somewhere: beyond that, codes are
// those of a smaller weight.
#pragma once

#include "base/context.h"
#include "encodings/encoding.h"
#include "kernels/kernels.h"

namespace carat {

/// A magnitude up to which rows of `columns` (which fit `e`, an encoding that is no float) hold weights of
/// both signs, under the largest parameters they can store; 2^36 where those have no end, as codes are chosen
/// for no larger weights. An error of more than this comes from weights beyond it: even two bits are never
/// that far off within.
Result<double> reach_of(const Context& context, const KernelTable& kernels, const Encoding& e,
                        int64_t columns);

/// Less than any encoding's reach. Models' weights are below 100 or so, so that whoever asks only about
/// larger errors than this never has to.
inline constexpr double kLeastReach = 1024;

}  // namespace carat
