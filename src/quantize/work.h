// A plan with what carrying it out needs besides.
#pragma once

#include "quantize/importance.h"
#include "quantize/quantize.h"
#include "rounders/rounder.h"

namespace carat {

struct TensorRecord;

struct Work {
  QuantizePlan plan;
  std::vector<const Rounder*> rounders;  ///< per tensor; null = copied as it is
  /// Per tensor: one number per column for each of its matrices, or nothing for all alike.
  std::vector<TensorImportance> importance;
  std::optional<CalibrationRecord> calibration;
  std::string recipe;  ///< of the evidence
  std::vector<std::string> rules;
  std::string method;
  const CalibrationText* text = nullptr;                      ///< what the data is from that the method uses
  ActivationScheme activations = ActivationScheme::bfloat16;  ///< that it went through the model with
  const HessianFile* hessians = nullptr;                      ///< the same; one of them or none
  bool guided = false;                                        ///< by Hessians, with this:
  WalkFeedback feedback;
  bool allow_unseen = false;  ///< experts that no token of the text reaches are rounded as without any
  std::optional<uint32_t> file_type;  ///< none: the source's stays
};

/// What the options' recipe gives each tensor. Errors: as assign_encodings(), and of the model's facts.
Result<std::vector<TensorChoice>> choose_encodings(const Checkpoint& checkpoint,
                                                   const QuantizeOptions& options);
/// The quantizing plan of plan_quantize(), ready to run on what the method's transforms make of `checkpoint`.
Result<Work> plan_work(const Checkpoint& checkpoint, const QuantizeOptions& options);
/// Every tensor as it is: for changing the container only.
Result<Work> plan_copy(const Checkpoint& checkpoint);

/// Every tensor in one float encoding, norms too, as a Hugging Face directory holds them; only what cannot be
/// decoded stays as it is. Sizes are those of the tensors alone.
Result<Work> plan_floats(const Checkpoint& checkpoint, const Encoding& encoding);

struct RunOptions {
  std::string_view stage;  ///< for progress
  bool resume = false;
  bool discard_partial = false;
  uint64_t slab_weights = 0;
  uint64_t split_bytes = 0;
};
/// The report of a finished run, without its seconds; `work` is spent.
QuantizeReport make_report(const Checkpoint& checkpoint, Work work, const std::vector<TensorRecord>& records);
/// Writes what `work` plans to a GGUF file.
Result<QuantizeReport> run_work(const Context& context, const Checkpoint& checkpoint,
                                const std::string& out_path, Work work, const RunOptions& options);

/// usage error if `out_path` is a directory, or writing it (or the files beside it that a writer uses) would
/// replace a file of the source.
Status check_output(const Checkpoint& checkpoint, const std::string& out_path);

}  // namespace carat
