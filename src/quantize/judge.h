// Measures finished files against their source, over calibration text, in lock-step.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "containers/checkpoint.h"
#include "score/statistics.h"
#include "stats/calibration_text.h"

namespace carat {

/// Some tensors by name.
using TensorGroup = std::vector<std::string>;

class Judge {
 public:
  virtual ~Judge() = default;
  /// KL(source || file) on the held-out text at the second half of each sequence, activations as at run time:
  /// what `carat perplexity --reference` reports.
  virtual Result<Estimate> held_out(const Context& context, const std::string& file) = 0;
  /// By group: how much smaller the mean KL of the file is on the probing text when the group's tensors are
  /// the source's again; activations in float.
  virtual Result<std::vector<double>> shares(const Context& context, const std::string& file,
                                             const std::vector<TensorGroup>& groups) = 0;
};

/// The checkpoint and both texts stay where they are.
Result<std::unique_ptr<Judge>> make_judge(const Context& context, const Checkpoint& source,
                                          const CalibrationText& held_out, const CalibrationText& probing);

}  // namespace carat
