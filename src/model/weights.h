// The tensors of a decoder-only transformer (llama, qwen2, qwen3) as the forward pass reads them.
//
// Matrices are views: into the mapped file where the file holds them as they are used, else into copies owned
// here (a Hugging Face directory whose q and k rows GGUF orders differently). Norm gains and biases are small
// and decoded to float once.
#pragma once

#include <memory>
#include <vector>

#include "arch/model_config.h"
#include "base/context.h"
#include "containers/checkpoint.h"
#include "kernels/kernels.h"
#include "model/place.h"

namespace carat {

struct LayerWeights {
  std::vector<float> attention_norm;     ///< [width]
  WeightView q;                          ///< [heads * head_dim, width]
  WeightView k, v;                       ///< [kv_heads * head_dim, width]
  std::vector<float> q_bias;             ///< [heads * head_dim], or empty
  std::vector<float> k_bias, v_bias;     ///< [kv_heads * head_dim], or empty
  std::vector<float> q_norm, k_norm;     ///< [head_dim], one gain for all heads; or empty
  WeightView attention_output;           ///< [width, heads * head_dim]
  std::vector<float> feed_forward_norm;  ///< [width]
  WeightView gate, up;                   ///< [feed_forward, width]
  WeightView down;                       ///< [width, feed_forward]
  Place place = Place::cpu;
};

/// What views point into.
struct WeightStorage {
  std::vector<Tensor> mapped;                     ///< keeps their files open
  std::vector<std::unique_ptr<uint8_t[]>> owned;  ///< what was not mapped
};

/// Movable; views stay valid.
struct Weights {
  ModelConfig config;
  WeightView embedding;  ///< [vocabulary, width]
  std::vector<LayerWeights> layers;
  std::vector<float> output_norm;  ///< [width]
  WeightView output;               ///< [vocabulary, width]; the embedding where they are tied
  WeightStorage storage;
};

/// Errors: those of read_model_config (which refuses a checkpoint whose tensors do not fit, or that has
/// others in the path from tokens to logits); value heads of another size than key heads; reading;
/// interruption.
Result<Weights> load_weights(const Context& context, const Checkpoint& checkpoint);

/// The same without the layers, for models larger than memory: `layers` is empty, and load_layer() gives one.
Result<Weights> load_outer_weights(const Context& context, const Checkpoint& checkpoint);

/// The weights of one layer. Movable; the system may have the memory of what is mapped when it is destroyed.
class LoadedLayer {
 public:
  LoadedLayer(LayerWeights weights, WeightStorage storage)
      : weights_(std::move(weights)), storage_(std::move(storage)) {}
  ~LoadedLayer();
  LoadedLayer(LoadedLayer&&) = default;
  LoadedLayer& operator=(LoadedLayer&&) = delete;

  const LayerWeights& weights() const { return weights_; }

 private:
  LayerWeights weights_;
  WeightStorage storage_;
};
/// `config` is what read_model_config() says of the checkpoint; layer < config.layers.
Result<LoadedLayer> load_layer(const Context& context, const Checkpoint& checkpoint,
                               const ModelConfig& config, int64_t layer);

}  // namespace carat
