#include "model/weights.h"

#include <string>

#include "arch/family.h"

namespace carat {
namespace {

/// Finds tensors by role. Their shapes and encodings have been checked by read_model_config.
class Loader {
 public:
  Loader(const Context& context, const Checkpoint& checkpoint, const Family& family, WeightStorage& out)
      : context_(context), checkpoint_(checkpoint), family_(family), out_(out) {}

  Result<WeightView> matrix(Role role, int64_t layer = 0) {
    CARAT_DO(context_.check());
    CARAT_TRY(const Tensor* t, tensor(role, layer));
    WeightView view{t->encoding, t->data->mapped().data(), t->rows(), t->columns(), t->row_bytes()};
    if (view.data) {
      out_.mapped.push_back(*t);
      return view;
    }
    auto copy = std::make_unique_for_overwrite<uint8_t[]>(t->bytes());
    CARAT_DO(t->data->read_bytes(0, t->rows(), copy.get()));
    t->data->release(0, t->rows());
    view.data = copy.get();
    out_.owned.push_back(std::move(copy));
    return view;
  }

  Result<std::vector<float>> vector(Role role, int64_t layer = 0) {
    CARAT_TRY(const Tensor* t, tensor(role, layer));
    return t->read_all();
  }

 private:
  Result<const Tensor*> tensor(Role role, int64_t layer) const {
    const TensorRule* rule = family_.rule(role);
    if (!rule)
      return error(Code::internal, "{} has no tensor of role {}", family_.architecture,
                   static_cast<int>(role));
    return checkpoint_.at(rule->gguf_name(layer));
  }

  const Context& context_;
  const Checkpoint& checkpoint_;
  const Family& family_;
  WeightStorage& out_;
};

Status read_layer(Loader& load, const ModelConfig& c, int64_t i, LayerWeights& layer) {
  CARAT_TRY(layer.attention_norm, load.vector(Role::attention_norm, i));
  CARAT_TRY(layer.q, load.matrix(Role::query, i));
  CARAT_TRY(layer.k, load.matrix(Role::key, i));
  CARAT_TRY(layer.v, load.matrix(Role::value, i));
  if (c.qkv_bias) {
    CARAT_TRY(layer.q_bias, load.vector(Role::query_bias, i));
    CARAT_TRY(layer.k_bias, load.vector(Role::key_bias, i));
    CARAT_TRY(layer.v_bias, load.vector(Role::value_bias, i));
  }
  if (c.qk_norm) {
    CARAT_TRY(layer.q_norm, load.vector(Role::query_norm, i));
    CARAT_TRY(layer.k_norm, load.vector(Role::key_norm, i));
  }
  CARAT_TRY(layer.attention_output, load.matrix(Role::attention_output, i));
  CARAT_TRY(layer.feed_forward_norm, load.vector(Role::feed_forward_norm, i));
  CARAT_TRY(layer.gate, load.matrix(Role::gate, i));
  CARAT_TRY(layer.up, load.matrix(Role::up, i));
  CARAT_TRY(layer.down, load.matrix(Role::down, i));
  return {};
}

}  // namespace

Result<Weights> load_outer_weights(const Context& context, const Checkpoint& checkpoint) {
  Weights w;
  CARAT_TRY(w.config, read_model_config(checkpoint));
  const ModelConfig& c = w.config;
  if (c.value_dim != c.head_dim) {
    return bad_data("{}: carat cannot run value heads of {} beside key heads of {}", checkpoint.source,
                    c.value_dim, c.head_dim);
  }
  Loader load(context, checkpoint, *find_family(c.architecture), w.storage);
  CARAT_TRY(w.embedding, load.matrix(Role::token_embedding));
  CARAT_TRY(w.output_norm, load.vector(Role::output_norm));
  w.output = w.embedding;
  if (!c.tied_embeddings) {
    CARAT_TRY(w.output, load.matrix(Role::output));
  }
  return w;
}

Result<Weights> load_weights(const Context& context, const Checkpoint& checkpoint) {
  CARAT_TRY(Weights w, load_outer_weights(context, checkpoint));
  Loader load(context, checkpoint, *find_family(w.config.architecture), w.storage);
  w.layers.resize(w.config.layers);
  for (int64_t i = 0; i < w.config.layers; ++i) CARAT_DO(read_layer(load, w.config, i, w.layers[i]));
  return w;
}

Result<LoadedLayer> load_layer(const Context& context, const Checkpoint& checkpoint,
                               const ModelConfig& config, int64_t layer) {
  LayerWeights weights;
  WeightStorage storage;
  Loader load(context, checkpoint, *find_family(config.architecture), storage);
  CARAT_DO(read_layer(load, config, layer, weights));
  return LoadedLayer(std::move(weights), std::move(storage));
}

LoadedLayer::~LoadedLayer() {
  for (const Tensor& tensor : storage_.mapped) tensor.data->release(0, tensor.rows());
}

}  // namespace carat
