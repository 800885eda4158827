// Function-preserving rewrites of a whole model that make its matrices easier to round, chosen by what
// calibration has seen of the matrices' inputs.
//
// A transform is an overlay on a checkpoint, as lazy as all others, and takes the statistics along, so that
// the next transform and the rounder see the model as it has become. It knows which encoding each matrix will
// get; whatever rounds it afterwards needs no knowledge of the transform. Rejected: transforms inside the
// walk through the blocks, which would see the errors of earlier blocks, but tie every transform to that walk
// and to one pass over the model.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "containers/checkpoint.h"
#include "rounders/rounder.h"
#include "stats/statistics.h"

namespace carat {

/// What a transform did to one group of channels.
struct TransformNote {
  std::string transform, group;
  /// What it chose, such as an exponent, in words and numbers.
  std::string choice;
  /// The error of the outputs it went by, without and with it; 0 and 0 where it went by none.
  double loss_before = 0, loss_after = 0;
};

struct TransformSubject {
  Checkpoint checkpoint;
  /// Of this checkpoint; no tensors where nothing is known.
  CalibrationStatistics statistics;
  /// What a tensor will be stored as; null or a float encoding: it will not be rounded.
  std::function<const Encoding*(const std::string&)> target;
  /// How, as far as columns can be judged one by one.
  const Rounder* rounder = nullptr;
  std::vector<TransformNote> notes;
};

struct TransformOptions {
  double smooth = 0.5;  ///< SmoothQuant's alpha: how much of the activations' magnitude moves to the weights
  uint64_t seed = 1;    ///< of rotations
};

class Transform {
 public:
  virtual ~Transform() = default;
  virtual std::string_view name() const = 0;  ///< "awq": its part of a --method
  virtual bool needs_statistics() const { return true; }
  /// Adds the tensors that the result has and the model has not, with any values.
  virtual Status lay_out(Checkpoint&) const { return {}; }
  /// What the file says of it, besides its name (carat.transform.NAME).
  virtual std::string record(const TransformOptions& options) const = 0;
  /// Errors: bad_data naming a matrix without statistics, or whose values cannot be used; those of reading.
  virtual Status apply(const Context& context, const TransformOptions& options,
                       TransformSubject& subject) const = 0;
};

/// THE list of transforms, in the order shown to users.
std::span<const Transform* const> all_transforms();
const Transform* find_transform(std::string_view name);

}  // namespace carat
