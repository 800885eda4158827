// The hidden states of a whole calibration set on their way through a model, a stage at a time: what a walk
// (block_walker.h) needs of them, for the model as it is rounded by then or as it was.
#pragma once

#include <vector>

#include "model/forward.h"
#include "quantize/kept_rows.h"
#include "stats/sequence_passes.h"

namespace carat {

/// The stages of a layer, by what its matrices read, in this order. Not every layer has all.
inline constexpr LinearInput walk_stages[] = {LinearInput::attention,    LinearInput::query_latent,
                                              LinearInput::latent,       LinearInput::key_heads,
                                              LinearInput::value_heads,  LinearInput::attention_output,
                                              LinearInput::feed_forward, LinearInput::down,
                                              LinearInput::experts,      LinearInput::experts_down};

class WalkStream {
 public:
  /// All of them stay where they are.
  WalkStream(const Weights& outer, const KernelTable& kernels, ActivationScheme activations,
             SequencePasses& passes)
      : outer_(outer), kernels_(kernels), activations_(activations), passes_(passes) {}

  LayerWeights layer;  ///< what the states go through; its owner exchanges matrices as they are rounded
  ForwardScratch scratch;

  /// The states before the first layer, from the embedding that `outer` has by now.
  Status embed(const Context& context);
  /// Past the matrices of a stage of layer l.
  Status leave(const Context& context, int64_t l, LinearInput stage);
  /// What matrices at `input` of layer l read of a pass, [rows, columns], in scratch or in what is kept here.
  const float* rows(const Context& context, int64_t l, LinearInput input, const SequencePasses::Pass& pass);

  /// Whether what layer l's last matrix reads (LinearInput::down) can be kept from rows() to leave(), all of
  /// it then, pass by pass.
  bool begin_keeping(int64_t l, int64_t columns) { return kept_.begin(l, passes_.tokens(), columns); }
  void forget() { kept_.forget(); }
  void keep(const Context& context, const SequencePasses::Pass& pass, const float* rows) {
    kept_.put(context.pool, pass.first, pass.rows, rows);
  }

  /// The states, [tokens, width].
  std::span<const float> states() const { return x_; }
  float* states_of(const SequencePasses::Pass& pass) { return x_.data() + pass.first * config().width; }
  Model model(InputTap* tap = nullptr) const { return {outer_, kernels_, activations_, nullptr, tap}; }

 private:
  const ModelConfig& config() const { return outer_.config; }
  template <class Body>
  Status each_pass(const Context& context, Body&& body);
  Status attend(const Context& context, int64_t l);
  Status add_attention(const Context& context, int64_t l);

  const Weights& outer_;
  const KernelTable& kernels_;
  const ActivationScheme activations_;
  SequencePasses& passes_;
  std::vector<float> x_, attended_;
  KeptRows kept_;  ///< of the layer whose last matrix is next
};

}  // namespace carat
