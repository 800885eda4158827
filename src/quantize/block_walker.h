// Walks through a model block by block while its tensors are streamed, so that every matrix is rounded with
// knowledge of the inputs it will meet, those that the already rounded tensors before it give.
//
// It holds the residual stream of the whole calibration set and moves it on as tensors are finished:
//
//   embedding rounded      x = embed(tokens)
//   q, k, v of a layer     Hessian of norm(x)          when they are rounded: attended = attention(x)
//   attention output       Hessian of attended                               x += output(attended)
//   gate, up               Hessian of norm(x)                                -
//   down                   Hessian of silu(gate) * up                        x += down(...)
//   output                 Hessian of the final norm(x)
//
// Latent attention has more inputs on the way: the latent vectors and, where it is absorbed, what each head's
// own matrices read, which have a Hessian for each head. A mixture has its shared experts' gate, up and down,
// then all experts' gate and up, then their down, each with the Hessian of the tokens that its expert gets
// (expert_feedback.h), and x moves on after those.
//
// Each step runs the weights as they are by then, rounded ones decoded to float, with activations
// in bf16 or float; experts stay as they are stored, which in float would be many times a dense layer.
// A resume needs no other state than the rounded tensors themselves: they are read back, and x moves through
// them without any Hessian. Rejected: a file of hidden states beside the partial one, as large as the model's
// own activations, to save a tenth of the time.
//
// With WalkFeedback::propagate a second stream of hidden states goes through the layers as they were, so that
// the guide knows how far inputs are off by now (rounders/input_drift.h); not those of single experts, whose
// tokens would be others, nor those of single heads.
//
// Memory: calibration tokens * (width + what attention hands on) floats, in bf16 the feed-forward's width
// besides (kept_rows.h; at most 2 GiB), one layer in float, one Hessian and its factor; of experts what
// expert_feedback.h says. A second stream takes as much again, and columns^2 floats for what it is there for.
// Time: about a forward pass over the calibration set besides Hessians and rounding.
#pragma once

#include <memory>
#include <string>

#include "kernels/kernels.h"
#include "quantize/guide.h"
#include "stats/calibration_text.h"

namespace carat {

/// The order in which a walk needs them: embedding, each layer's tensors from its input to its output, the
/// output. What the family does not know keeps its place before the layers. Errors: as read_model_config().
Result<Checkpoint> in_walking_order(Checkpoint checkpoint);

/// True for the matrices that a walk has Hessians for.
Result<std::vector<bool>> walked_tensors(const Checkpoint& checkpoint);

/// `checkpoint` in walking order; `targets` gives each tensor's encoding in the output. All three stay where
/// they are as long as the walker is used. An expert that no token reaches is a usage error, or rounded with
/// columns that count alike if `allow_unseen`.
Result<std::unique_ptr<Guide>> make_block_walker(const Context& context, const Checkpoint& checkpoint,
                                                 std::span<const Encoding* const> targets,
                                                 const CalibrationText& text, ActivationScheme activations,
                                                 const WalkFeedback& options, bool allow_unseen);

}  // namespace carat
