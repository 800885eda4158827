// The tensors of a decoder-only transformer as the forward pass reads them.
//
// Matrices are views: into the mapped file where the file holds them as they are used, else into copies owned
// here (a Hugging Face directory whose q and k rows GGUF orders differently). Norm gains and biases are small
// and decoded to float once.
#pragma once

#include <memory>
#include <vector>

#include "arch/family.h"
#include "arch/model_config.h"
#include "base/context.h"
#include "containers/checkpoint.h"
#include "kernels/kernels.h"
#include "model/place.h"

namespace carat {

/// A matrix, or several stacked, and what their products are multiplied by (arch/tensor_scales.h): `scale`
/// has one number for each, or is null. Products that heed it: model/products.h.
struct Matrix : WeightView {
  const float* scale = nullptr;
  Matrix() = default;
  Matrix(const WeightView& view) : WeightView(view) {}
};

/// An empty gain: there is no such norm. An empty bias: it has none.
struct NormWeights {
  std::vector<float> gain, bias;
};

/// Vectors are empty where the family has no such tensor.
struct LayerWeights {
  NormWeights attention_norm;         ///< [width]
  Matrix q;                           ///< [heads * head_dim, width]
  Matrix k, v;                        ///< [kv_heads * head_dim, width]
  std::vector<float> q_bias;          ///< [heads * head_dim]
  std::vector<float> k_bias, v_bias;  ///< [kv_heads * head_dim]
  std::vector<float> q_norm, k_norm;  ///< gains of all heads together, or of each head alike
  std::vector<float> sinks;           ///< [heads]
  // Of latent attention: q is [heads * (plain + rotary_dim), query_rank or width].
  Matrix q_latent;                           ///< [query_rank, width], or no data
  std::vector<float> q_latent_norm;          ///< [query_rank]
  Matrix kv_latent;                          ///< [rank + rotary_dim, width]
  std::vector<float> kv_latent_norm;         ///< [rank]
  Matrix kv_expansion;                       ///< [heads * (plain + value), rank]; or, absorbed:
  Matrix k_expansion;                        ///< [heads * rank, plain]
  Matrix v_expansion;                        ///< [heads * value, rank]
  Matrix attention_output;                   ///< [width, mixed_width()]
  std::vector<float> attention_output_bias;  ///< [width]
  NormWeights post_attention_norm;           ///< [width]
  NormWeights feed_forward_norm;             ///< [width]
  NormWeights post_feed_forward_norm;        ///< [width]
  Matrix gate, up;  ///< [feed_forward, width], ungated: no gate; of a mixture's shared experts, if any
  Matrix down;      ///< [width, feed_forward]; the same
  std::vector<float> up_bias;    ///< [feed_forward]
  std::vector<float> down_bias;  ///< [width]
  // Of mixtures of experts; those of all experts stand one above the other.
  Matrix router;                                          ///< [experts, width]
  Matrix gate_experts, up_experts;                        ///< [experts * expert_feed_forward, width]
  Matrix down_experts;                                    ///< [experts * width, expert_feed_forward]
  std::vector<float> router_bias, router_correction;      ///< [experts]
  std::vector<float> gate_experts_bias, up_experts_bias;  ///< [experts, expert_feed_forward]
  std::vector<float> down_experts_bias;                   ///< [experts, width]
  std::vector<float> shared_router;                       ///< [width], or empty
  Place place = Place::cpu;
};

/// A layer's matrix of that role, all experts' (heads') where they are stacked; no data where it is none of a
/// layer's. Where the file has one tensor for several (query_key_value, gate_up), those are views of ranges
/// of its rows.
Matrix matrix_of(const LayerWeights& layer, Role role);
/// Exchanges it; its shape is that of the one before.
void set_matrix(LayerWeights& layer, Role role, const Matrix& matrix);

/// Rows of one of `count` matrices (experts, heads) in a view of all.
inline Matrix one_of(const Matrix& all, int64_t index, int64_t count) {
  Matrix one = all;
  one.rows = all.rows / count;
  one.data += static_cast<uint64_t>(index * one.rows) * all.row_bytes;
  if (all.scale) one.scale += index;
  return one;
}

/// What views point into.
struct WeightStorage {
  std::vector<Tensor> mapped;                     ///< keeps their files open
  std::vector<std::unique_ptr<uint8_t[]>> owned;  ///< what was not mapped
  std::vector<std::vector<float>> scales;
};

/// Movable; views stay valid.
struct Weights {
  ModelConfig config;
  WeightView embedding;  ///< [vocabulary, width]
  std::vector<LayerWeights> layers;
  WeightView positions;     ///< [context_length, width], or no data
  NormWeights output_norm;  ///< [width]
  Matrix output;            ///< [vocabulary, width]; the embedding where they are tied
  WeightStorage storage;
};

/// What read_model_config() says, of a checkpoint that load_weights() does not refuse unread.
Result<ModelConfig> read_runnable_config(const Checkpoint& checkpoint);

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
