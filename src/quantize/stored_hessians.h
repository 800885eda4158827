// Error feedback by Hessians of a file (stats/hessian_file.h): what the model's matrices read before any was
// rounded. No text goes through the model, so that one calibration serves any number of encodings and
// settings; a walk (block_walker.h), in which each matrix sees what the rounded ones before it give, is
// slower and somewhat better.
#pragma once

#include <memory>

#include "quantize/guide.h"
#include "stats/hessian_file.h"

namespace carat {

/// `checkpoint` in walking order, so that matrices that share an input follow one another; `targets` gives
/// each tensor's encoding in the output. All three stay where they are as long as the guide is used. An
/// expert that no token reached is a usage error, or rounded with columns that count alike if `allow_unseen`.
Result<std::unique_ptr<Guide>> make_stored_guide(const Checkpoint& checkpoint, const HessianFile& hessians,
                                                 std::span<const Encoding* const> targets,
                                                 const WalkFeedback& options, bool allow_unseen);

}  // namespace carat
