// The residual streams of many sequences, moved through a model layer by layer, and how far two models'
// answers to them are apart.
//
// Streams are plain arrays, [tokens, width], that callers keep and copy: where one tensor of layer l differs,
// what was before l is the same, and only what comes after is computed again.
#pragma once

#include <span>
#include <vector>

#include "base/context.h"
#include "model/forward.h"
#include "stats/sequence_passes.h"

namespace carat {

/// Sequences of one length, and the work space that one layer's pass over them takes.
class Sequences {
 public:
  /// Both arguments stay where they are; the text is one that check_calibration_text() has let pass.
  Sequences(const ModelConfig& config, const CalibrationText& text)
      : config_(config),
        count_(static_cast<int64_t>(text.sequences.size())),
        length_(text.context),
        passes_(config, text.sequences) {}

  int64_t count() const { return count_; }
  int64_t length() const { return length_; }
  /// Of all sequences.
  int64_t tokens() const { return count_ * length_; }
  size_t state_size() const { return static_cast<size_t>(tokens() * config_.width); }

  /// x[tokens, width] = the embeddings.
  Status embed(const Context& context, const Weights& weights, float* x);
  /// x moves through layer l, whose weights are w. Where the layer is a mixture, `before_experts` gets what x
  /// is between attention and the experts, if it is not null.
  Status through(const Context& context, const Model& model, const LayerWeights& w, int64_t l, float* x,
                 float* before_experts = nullptr);

 private:
  const ModelConfig& config_;
  int64_t count_, length_;
  SequencePasses passes_;
  ForwardScratch scratch_;
};

/// Positions of each sequence whose predictions are compared: [first, end).
struct ScoredPositions {
  int64_t first = 0, end = 0;
  int64_t of(const Sequences& sequences) const { return sequences.count() * (end - first); }
};

/// Hidden states [scored, width] (after the final norm) at the scored positions of a stream.
std::vector<float> scored_states(const Context& context, const Model& model, const Sequences& sequences,
                                 const ScoredPositions& positions, const float* x);

/// KL(reference || candidate) in nats for each of `rows` hidden states. A few rows of logits are in memory at
/// a time. bad_data where logits are not finite; interruption.
Result<std::vector<double>> divergences(const Context& context, const Model& reference,
                                        const float* reference_states, const Model& candidate,
                                        const float* candidate_states, int64_t rows);

/// What a reference says, kept for comparisons with many candidates: 4 bytes times rows times vocabulary.
class ReferenceLogits {
 public:
  ReferenceLogits(const Context& context, const Model& reference, const float* states, int64_t rows);
  /// Mean KL(reference || candidate) over the rows; errors as divergences().
  Result<double> mean_divergence(const Context& context, const Model& candidate, const float* states) const;

 private:
  int64_t rows_;
  std::vector<float> logits_;
  std::vector<LogSumExp> sums_;
};

}  // namespace carat
