// What one token costs a machine, counted from the tensors: bytes that have to be read and operations that
// have to be done, whatever the program does besides.
#pragma once

#include "arch/model_config.h"
#include "containers/checkpoint.h"
#include "kernels/kernels.h"
#include "measure/limits.h"

namespace carat {

/// A multiply-add counts as two operations.
struct Work {
  double bytes = 0;
  double int8 = 0;  ///< operations on codes
  double bf16 = 0;  ///< on bfloat16 pairs
  double f32 = 0;   ///< on floats: float weights, attention

  Work& operator+=(const Work& other);
  Work operator*(double factor) const;
  double operations() const { return int8 + bf16 + f32; }
};

/// Shares of the limits that `work` done in `seconds` is, each 0 to about 1.
double memory_share(const Work& work, const Limits& limits, double seconds);
/// Time the operations would take at their peaks over the time they took.
double compute_share(const Work& work, const Limits& limits, double seconds);

/// Costs of one model, run with an activation scheme and with keys and values kept in an encoding.
class ModelWork {
 public:
  static Result<ModelWork> of(const Checkpoint& checkpoint, ActivationScheme scheme, KvEncoding kv);

  /// One step of `batch` sequences that each append one token at `position`: every matrix once (the embedding
  /// only where it is the output too, else one row per sequence), the norms, keys and values of all
  /// positions.
  Work decode_step(int64_t batch, int64_t position) const;
  /// `tokens` appended at once from `position` on, logits of the last one: matrices are read once per
  /// max_forward_tokens.
  Work prefill(int64_t tokens, int64_t position) const;

  const ModelConfig& config() const { return config_; }
  /// Bytes of all weights that a decode step reads.
  double step_bytes() const { return layers_.bytes + expert_bytes(1) + output_.bytes; }
  /// Weights in the matrices, the embedding included.
  double parameters() const { return parameters_; }
  /// Those that one token meets: of a mixture, only its experts'.
  double active_parameters() const { return active_parameters_; }

 private:
  /// Of the token at `position` in one layer.
  double attention_operations(int64_t position) const;
  /// Of `seen` positions, how many a layer looks at, on average over the layers.
  double visible_positions(int64_t seen) const;
  double kv_bytes(int64_t positions) const;
  /// Bytes of the experts' weights that `tokens` read: expected, where each goes through any experts alike;
  /// of one token exact.
  double expert_bytes(int64_t tokens) const;

  ModelConfig config_;
  Work layers_;                  ///< bytes of a pass, operations of one token
  Work output_;                  ///< the same for the output matrix
  Work last_;                    ///< part of layers_: the last layer's matrices behind attention
  double all_expert_bytes_ = 0;  ///< not in layers_
  double active_parameters_ = 0;
  double embedding_row_ = 0;
  double kv_row_ = 0;  ///< bytes of one position's keys and values in all layers
  double parameters_ = 0;
};

}  // namespace carat
