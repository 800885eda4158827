// The main job: a checkpoint in, a quantized GGUF out, in one streaming pass with bounded memory.
//
// Plan first, then write: plan_quantize() decides every tensor's encoding and the file's exact size without
// touching the disk; quantize() refuses what cannot end well before the first byte, then streams slabs of
// rows.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "containers/checkpoint.h"
#include "quantize/walk_feedback.h"
#include "recipes/recipe.h"
#include "stats/calibration_text.h"
#include "stats/hessian_file.h"
#include "stats/statistics.h"
#include "transforms/transform.h"

namespace carat {

struct QuantizeOptions {
  Recipe recipe;
  std::string method;  ///< "gptq", "awq+gptq" (method.h); empty = the default rounder
  /// Text for methods that use data, or null. Rounders with error feedback walk the model block by block with
  /// it (block_walker.h); others get statistics of it, where there is no `calibration`. Not copied.
  const CalibrationText* text = nullptr;
  /// In place of text, for rounders with error feedback alone: what the model's matrices read before any was
  /// rounded (stored_hessians.h). Of this checkpoint. Not copied.
  const HessianFile* hessians = nullptr;
  ActivationScheme activations = ActivationScheme::bfloat16;  ///< of the model while text goes through it
  TransformOptions transforms;
  WalkFeedback feedback;  ///< of methods with error feedback
  /// What calibration found: weighs errors column by column. Fitted to the checkpoint (fit_statistics()).
  std::shared_ptr<const CalibrationStatistics> calibration;
  std::string calibration_file;      ///< its name, for the record
  bool allow_fallback = false;       ///< encodings of smaller blocks where the recipe's do not fit a shape
  bool allow_requantize = false;     ///< sources that are quantized already lose more than their own error
  bool resume = false;               ///< continue the partial file of an interrupted run
  bool discard_partial = false;      ///< or throw it away; with `resume`, only if it is of other work
  uint64_t split_bytes = 0;          ///< several files of at most so many bytes (gguf.h); 0: one
  uint64_t slab_weights = 4u << 20;  ///< weights in flight per step; decides memory and nothing else
};

struct TensorPlan {
  std::string name;
  std::vector<int64_t> shape;
  const Encoding* from = nullptr;
  const Encoding* to = nullptr;
  std::string method;  ///< "copy" where source and target encoding are the same, else the rounder's name
  std::string reason;
  uint64_t bytes = 0;  ///< in the output
};

struct QuantizePlan {
  std::vector<TensorPlan> tensors;     ///< in file order
  std::vector<std::string> fallbacks;  ///< one sentence each
  std::vector<std::string> notes;      ///< what the user should know and nothing went wrong with
  Metadata metadata;                   ///< of the output, with placeholders for what is known at the end
  uint64_t input_bytes = 0;
  uint64_t output_bytes = 0;   ///< the file, exact to the byte
  double bits_per_weight = 0;  ///< tensor data over all weights, norms included
};

/// How a tensor's rounding was guided by calibration text.
struct GuideNote {
  int64_t tokens = 0;        ///< that its input was seen at; of experts, the one that saw most; 0: not guided
  int64_t least_tokens = 0;  ///< and the one that saw least
  int64_t unseen = 0;        ///< experts that saw none, and were rounded as without text
  double shrink = 0;         ///< FeedbackOptions::shrink; of experts, the greatest
  double damping = 0;        ///< FeedbackFactor::damping; of experts, the greatest
  /// What rounding added to the outputs, tr(D H D^T) with H as it was factored, over sum w^2 H[k][k]; where
  /// weights were moved first (rounders/input_drift.h), D is from those.
  double relative_loss = 0;
  double searched_loss =
      0;  ///< the same if the search had rounded it, from a sample of rows (searched_loss.h)
};

struct TensorReport {
  std::string name;
  std::vector<int64_t> shape;
  const Encoding* from = nullptr;
  const Encoding* to = nullptr;
  std::string method;
  std::string reason;
  double relative_error = 0;  ///< sum (w - q)^2 / sum w^2
  uint64_t underflows = 0;    ///< non-zero values stored as zero (float encodings)
  GuideNote guide = {};       ///< what data said, where the method used any
};

struct QuantizeReport {
  uint64_t input_bytes = 0;
  uint64_t output_bytes = 0;
  double bits_per_weight = 0;
  double seconds = 0;
  uint64_t peak_rss_bytes = 0;
  std::vector<TensorReport> tensors;
  std::vector<std::string> files;  ///< what was written
  std::vector<std::string> fallbacks;
  std::vector<std::string> notes;
  std::vector<TransformNote> transforms;  ///< what was done to the model before rounding
  uint64_t underflows = 0;
  std::string source_digest;   ///< SHA-256 tree of the source's tensors, also in the file
  size_t resumed_tensors = 0;  ///< taken over from an interrupted run
};

/// What quantize() would write. usage errors: encodings that do not fit, requantization without leave, a
/// method that cannot write an encoding; bad_data: a source that cannot be decoded.
Result<QuantizePlan> plan_quantize(const Checkpoint& checkpoint, const QuantizeOptions& options);

/// Writes out_path (through out_path.partial and a journal, see CheckpointWriter). Refuses to replace an
/// input file. Stops on values that are not finite or overflow the target, naming the tensor. Interrupted:
/// the partial file stays for a resume. The bytes depend on the source's contents, the options and carat's
/// version, and on nothing else.
Result<QuantizeReport> quantize(const Context& context, const Checkpoint& checkpoint,
                                const std::string& out_path, const QuantizeOptions& options);

/// Peak resident memory of this process so far (VmHWM), 0 where the system does not say.
uint64_t peak_rss_bytes();

}  // namespace carat
