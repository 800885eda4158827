// Measures what rounding each tensor costs a model's answers.
//
// Three parts of the calibration text, of which no two share a sequence:
//   rounding   what the method itself looks at (Hessians); empty for methods that do not
//   probing    where divergences and output errors are measured
// and, kept from both, the text that the finished file is measured on (budget.h).
//
// Layer by layer: the rounding text's streams pass through and leave the layer's Hessians; each matrix is
// rounded to the probe encoding, the probing text's streams go on from this layer with that one matrix
// changed, and their logits are compared with the unchanged model's. The other encodings are tried on some of
// the rows, and what they add to the matrix's outputs on the probing text is measured. So nothing is guessed
// from names, and nothing is judged on the text that it was fitted to.
//
// Time, in products of weights and tokens: N/2 + V per matrix and probing token, where N is the number of
// weights of all layers and V that of the output matrix: the sum over M matrices is M * (N/2 + V) * tokens.
// Memory: the source's weights where they are not mapped; hidden states of both texts; the probing text's
// logits (at most kProbeLogitBytes); one layer's Hessians and one factor. In a mixture of experts, whose
// tensors are each one tensor to the budget, besides: the rounding text's states before the experts, what the
// probing text hands to them (and to single heads, where attention is absorbed) and what expert_feedback.h
// says. An expert that the rounding text does not reach is rounded with columns that count alike: the whole
// text, which the file is made with, may reach it.
//
// Rejected: derivatives (there is no backward pass to take them from, and the divergence at 3 bits is far
// from infinitesimal); changing several tensors at once and solving for each (the noise of all for the signal
// of one).
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/context.h"
#include "containers/checkpoint.h"
#include "quantize/quantize.h"
#include "recipes/sensitivities.h"
#include "rounders/rounder.h"

namespace carat {

inline constexpr uint64_t kProbeLogitBytes = 512u << 20;

/// The encodings that a rounder may choose from for a tensor, all smaller than its own, in the order of the
/// list: those that divide its rows, that GGUF has a type for and that the rounder writes; float ones are
/// rounded to nearest.
std::vector<const Encoding*> candidate_encodings(const Tensor& tensor, const Rounder& rounder);

/// A tensor to be measured.
struct SensitivityTask {
  size_t tensor = 0;                       ///< of the checkpoint
  const Rounder* rounder = nullptr;        ///< of the encodings that are not floats
  std::vector<const Encoding*> encodings;  ///< at least one, none of them the tensor's own
};

struct SensitivityOptions {
  const CalibrationText* rounding = nullptr;  ///< or null
  const CalibrationText* probing = nullptr;
  /// Of the rounding text. The probing text's are never rounded, which would add to every divergence.
  ActivationScheme activations = ActivationScheme::bfloat16;
  WalkFeedback feedback;
  const CalibrationStatistics* importance = nullptr;  ///< or null
  /// The checkpoint before factors were multiplied into its matrices (scaled_source.h), which is run in its
  /// place: matrices stay mapped, and one at a time is seen with its factors. Null: there are none.
  const Checkpoint* run = nullptr;
};

/// Calls `done` with each, in the order in which they are measured. Errors: as load_weights(); a rounder's;
/// values that are not finite; interruption.
Status measure_sensitivities(const Context& context, const Checkpoint& checkpoint,
                             std::span<const SensitivityTask> tasks, const SensitivityOptions& options,
                             const std::function<Status(TensorSensitivity)>& done);

}  // namespace carat
