#include "model/weights.h"

#include <optional>
#include <string>

#include "arch/family.h"
#include "arch/tensor_scales.h"

namespace carat {
namespace {

/// Finds tensors by role. Their shapes and encodings have been checked by read_model_config.
class Loader {
 public:
  Loader(const Context& context, const Checkpoint& checkpoint, const Family& family, WeightStorage& out)
      : context_(context), checkpoint_(checkpoint), family_(family), out_(out) {}

  Result<Matrix> matrix(Role role, int64_t layer = 0) {
    CARAT_DO(context_.check());
    CARAT_TRY(const Tensor* t, tensor(role, layer));
    Matrix view(WeightView{t->encoding, t->data->mapped().data(), t->rows(), t->columns(), t->row_bytes()});
    CARAT_TRY(std::vector<float> scale, read_scale(checkpoint_, *t));
    if (!scale.empty()) view.scale = out_.scales.emplace_back(std::move(scale)).data();
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

  bool has(Role role) const { return family_.rule(role) != nullptr; }

  /// Empty where the family or, of what is optional, the file has none.
  Result<std::vector<float>> vector(Role role, int64_t layer = 0) {
    const TensorRule* rule = family_.rule(role);
    if (!rule || (rule->presence != Presence::required && !checkpoint_.find(rule->gguf_name(layer))))
      return std::vector<float>();
    CARAT_TRY(const Tensor* t, tensor(role, layer));
    return t->read_all();
  }

  Result<NormWeights> norm(Role gain, std::optional<Role> bias, int64_t layer = 0) {
    NormWeights out;
    CARAT_TRY(out.gain, vector(gain, layer));
    if (bias) {
      CARAT_TRY(out.bias, vector(*bias, layer));
    }
    return out;
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

Matrix rows_of(const Matrix& w, int64_t first, int64_t rows) {
  Matrix part = w;
  part.data += static_cast<uint64_t>(first) * w.row_bytes;
  part.rows = rows;
  return part;
}

/// The first `n` entries leave `all`.
std::vector<float> take(std::vector<float>& all, int64_t n) {
  std::vector<float> taken(all.begin(), all.begin() + n);
  all.erase(all.begin(), all.begin() + n);
  return taken;
}

Status read_latent(Loader& load, const ModelConfig& c, int64_t i, LayerWeights& layer) {
  const bool ranked = c.latent.query_rank > 0;
  CARAT_TRY(layer.q, load.matrix(ranked ? Role::query_expansion : Role::query, i));
  if (ranked) {
    CARAT_TRY(layer.q_latent, load.matrix(Role::query_latent, i));
    CARAT_TRY(layer.q_latent_norm, load.vector(Role::query_latent_norm, i));
  }
  CARAT_TRY(layer.kv_latent, load.matrix(Role::key_value_latent, i));
  CARAT_TRY(layer.kv_latent_norm, load.vector(Role::key_value_latent_norm, i));
  if (!c.latent.absorbed) {
    CARAT_TRY(layer.kv_expansion, load.matrix(Role::key_value_expansion, i));
    return {};
  }
  CARAT_TRY(layer.k_expansion, load.matrix(Role::key_expansion, i));
  CARAT_TRY(layer.v_expansion, load.matrix(Role::value_expansion, i));
  return {};
}

Status read_qkv(Loader& load, const ModelConfig& c, int64_t i, LayerWeights& layer) {
  const int64_t queries = int64_t{c.heads} * c.head_dim, keys = int64_t{c.kv_heads} * c.head_dim;
  if (load.has(Role::query_key_value)) {
    layer.q.rows = queries;
    layer.k.rows = layer.v.rows = keys;
    CARAT_TRY(const Matrix fused, load.matrix(Role::query_key_value, i));
    set_matrix(layer, Role::query_key_value, fused);
    CARAT_TRY(std::vector<float> bias, load.vector(Role::query_key_value_bias, i));
    if (bias.empty()) return {};
    layer.q_bias = take(bias, queries);
    layer.k_bias = take(bias, keys);
    layer.v_bias = std::move(bias);
    return {};
  }
  if (c.latent.rank > 0) return read_latent(load, c, i, layer);
  CARAT_TRY(layer.q, load.matrix(Role::query, i));
  CARAT_TRY(layer.k, load.matrix(Role::key, i));
  CARAT_TRY(layer.v, load.matrix(Role::value, i));
  CARAT_TRY(layer.q_bias, load.vector(Role::query_bias, i));
  CARAT_TRY(layer.k_bias, load.vector(Role::key_bias, i));
  CARAT_TRY(layer.v_bias, load.vector(Role::value_bias, i));
  return {};
}

Status read_attention(Loader& load, const ModelConfig& c, int64_t i, LayerWeights& layer) {
  using enum Role;
  CARAT_TRY(layer.attention_norm, load.norm(attention_norm, attention_norm_bias, i));
  CARAT_DO(read_qkv(load, c, i, layer));
  CARAT_TRY(layer.q_norm, load.vector(query_norm, i));
  CARAT_TRY(layer.k_norm, load.vector(key_norm, i));
  CARAT_TRY(layer.sinks, load.vector(attention_sinks, i));
  CARAT_TRY(layer.attention_output, load.matrix(attention_output, i));
  CARAT_TRY(layer.attention_output_bias, load.vector(attention_output_bias, i));
  CARAT_TRY(layer.post_attention_norm, load.norm(post_attention_norm, {}, i));
  return {};
}

Status read_experts(Loader& load, const ModelConfig& c, int64_t i, LayerWeights& layer) {
  CARAT_TRY(layer.router, load.matrix(Role::router, i));
  CARAT_TRY(layer.gate_experts, load.matrix(Role::gate_experts, i));
  CARAT_TRY(layer.up_experts, load.matrix(Role::up_experts, i));
  CARAT_TRY(layer.down_experts, load.matrix(Role::down_experts, i));
  CARAT_TRY(layer.router_bias, load.vector(Role::router_bias, i));
  CARAT_TRY(layer.router_correction, load.vector(Role::router_correction, i));
  CARAT_TRY(layer.gate_experts_bias, load.vector(Role::gate_experts_bias, i));
  CARAT_TRY(layer.up_experts_bias, load.vector(Role::up_experts_bias, i));
  CARAT_TRY(layer.down_experts_bias, load.vector(Role::down_experts_bias, i));
  if (c.experts.shared_feed_forward == 0) return {};
  CARAT_TRY(layer.gate, load.matrix(Role::shared_gate, i));
  CARAT_TRY(layer.up, load.matrix(Role::shared_up, i));
  CARAT_TRY(layer.down, load.matrix(Role::shared_down, i));
  if (c.experts.shared_router) {
    CARAT_TRY(layer.shared_router, load.vector(Role::shared_router, i));
  }
  return {};
}

Status read_feed_forward(Loader& load, const ModelConfig& c, int64_t i, LayerWeights& layer) {
  using enum Role;
  CARAT_TRY(layer.feed_forward_norm, load.norm(feed_forward_norm, feed_forward_norm_bias, i));
  if (c.parallel) {
    layer.feed_forward_norm = layer.attention_norm;
    CARAT_TRY(NormWeights own, load.norm(parallel_attention_norm, parallel_attention_norm_bias, i));
    if (!own.gain.empty()) layer.attention_norm = std::move(own);
  }
  CARAT_TRY(layer.post_feed_forward_norm, load.norm(post_feed_forward_norm, {}, i));
  if (c.is_mixture(i)) return read_experts(load, c, i, layer);
  if (load.has(gate_up)) {
    CARAT_TRY(const Matrix fused, load.matrix(gate_up, i));
    layer.gate.rows = layer.up.rows = c.feed_forward;
    set_matrix(layer, gate_up, fused);
  } else {
    if (c.gated) {
      CARAT_TRY(layer.gate, load.matrix(gate, i));
    }
    CARAT_TRY(layer.up, load.matrix(up, i));
  }
  CARAT_TRY(layer.down, load.matrix(down, i));
  CARAT_TRY(layer.up_bias, load.vector(up_bias, i));
  CARAT_TRY(layer.down_bias, load.vector(down_bias, i));
  return {};
}

Status read_layer(Loader& load, const ModelConfig& c, int64_t i, LayerWeights& layer) {
  CARAT_DO(read_attention(load, c, i, layer));
  return read_feed_forward(load, c, i, layer);
}

}  // namespace

namespace {

/// Where a layer keeps the matrix of a role that is not of several: null for those that are.
template <class Layer>
auto place_of(Layer& layer, Role role) -> decltype(&layer.q) {
  switch (role) {
    case Role::query:
    case Role::query_expansion:
      return &layer.q;
    case Role::key:
      return &layer.k;
    case Role::value:
      return &layer.v;
    case Role::query_latent:
      return &layer.q_latent;
    case Role::key_value_latent:
      return &layer.kv_latent;
    case Role::key_value_expansion:
      return &layer.kv_expansion;
    case Role::key_expansion:
      return &layer.k_expansion;
    case Role::value_expansion:
      return &layer.v_expansion;
    case Role::attention_output:
      return &layer.attention_output;
    case Role::gate:
    case Role::shared_gate:
      return &layer.gate;
    case Role::up:
    case Role::shared_up:
      return &layer.up;
    case Role::down:
    case Role::shared_down:
      return &layer.down;
    case Role::router:
      return &layer.router;
    case Role::gate_experts:
      return &layer.gate_experts;
    case Role::up_experts:
      return &layer.up_experts;
    case Role::down_experts:
      return &layer.down_experts;
    default:
      return nullptr;
  }
}

/// Those that a tensor of several consists of, in the order of its rows.
template <class Layer>
auto parts_of(Layer& layer, Role role) -> std::vector<decltype(&layer.q)> {
  if (role == Role::query_key_value) return {&layer.q, &layer.k, &layer.v};
  if (role == Role::gate_up) return {&layer.gate, &layer.up};
  return {};
}

}  // namespace

Matrix matrix_of(const LayerWeights& layer, Role role) {
  if (const Matrix* one = place_of(layer, role)) return *one;
  const auto parts = parts_of(layer, role);
  if (parts.empty()) return {};
  Matrix all = *parts.front();
  for (size_t i = 1; i < parts.size(); ++i) all.rows += parts[i]->rows;
  return all;
}

void set_matrix(LayerWeights& layer, Role role, const Matrix& matrix) {
  if (Matrix* one = place_of(layer, role)) {
    *one = matrix;
    return;
  }
  int64_t first = 0;
  for (Matrix* part : parts_of(layer, role)) {
    *part = rows_of(matrix, first, part->rows);
    first += part->rows;
  }
}

Result<ModelConfig> read_runnable_config(const Checkpoint& checkpoint) {
  CARAT_TRY(ModelConfig c, read_model_config(checkpoint));
  if (c.value_dim != c.head_dim) {
    return bad_data("{}: carat cannot run value heads of {} beside key heads of {}", checkpoint.source,
                    c.value_dim, c.head_dim);
  }
  return c;
}

Result<Weights> load_outer_weights(const Context& context, const Checkpoint& checkpoint) {
  Weights w;
  CARAT_TRY(w.config, read_runnable_config(checkpoint));
  const ModelConfig& c = w.config;
  Loader load(context, checkpoint, *find_family(c.architecture), w.storage);
  CARAT_TRY(w.embedding, load.matrix(Role::token_embedding));
  if (load.has(Role::position_embedding)) {
    CARAT_TRY(w.positions, load.matrix(Role::position_embedding));
  }
  CARAT_TRY(w.output_norm, load.norm(Role::output_norm, Role::output_norm_bias));
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
