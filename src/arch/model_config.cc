// Metadata -> ModelConfig. Key names and defaults are those of llama.cpp's loader (llama-hparams), so that a
// file means the same here and there. Every number is bounded by what the tensors really are: nothing is
// sized by a number of the file before that.
#include "arch/model_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/tensor_scales.h"
#include "containers/quote.h"

namespace carat {
namespace {

// No dimension of a real model comes near; products of three of them still fit 64 bits.
constexpr int64_t kMaxDimension = int64_t{1} << 20;
constexpr int64_t kMaxContext = int64_t{1} << 31;

int64_t size_of(Dim dim, const ModelConfig& c) {
  switch (dim) {
    case Dim::vocabulary:
      return c.vocabulary;
    case Dim::width:
      return c.width;
    case Dim::feed_forward:
      return c.feed_forward;
    case Dim::head:
      return c.head_dim;
    case Dim::half_rotary:
      return c.rotary_dim / 2;
    case Dim::queries:
      return int64_t{c.heads} * c.head_dim;
    case Dim::keys:
      return int64_t{c.kv_heads} * c.head_dim;
    case Dim::values:
      return int64_t{c.kv_heads} * c.value_dim;
    case Dim::mixed_values:
      return c.mixed_width();
    case Dim::query_rank:
      return c.latent.query_rank;
    case Dim::latent_queries:
      return c.heads * (c.latent.plain + c.rotary_dim);
    case Dim::latent_rank:
      return c.latent.rank;
    case Dim::latent_keys:
      return c.latent.rank + c.rotary_dim;
    case Dim::latent_plain:
      return c.latent.plain;
    case Dim::latent_value:
      return c.latent.value;
    case Dim::latent_keys_and_values:
      return c.heads * (c.latent.plain + c.latent.value);
    case Dim::experts:
      return c.experts.count;
    case Dim::expert_feed_forward:
      return c.experts.feed_forward;
    case Dim::shared_feed_forward:
      return c.experts.shared_feed_forward;
    case Dim::heads:
      return c.heads;
    case Dim::queries_keys_values:
      return int64_t{c.heads + c.kv_heads} * c.head_dim + int64_t{c.kv_heads} * c.value_dim;
    case Dim::gates_and_ups:
      return 2 * c.feed_forward;
    case Dim::positions:
      return c.context_length;
  }
  return 0;
}

Status check_tensor(const Checkpoint& checkpoint, const ModelConfig& c, const TensorRule& rule,
                    const Tensor& tensor) {
  std::vector<int64_t> expected;
  for (Dim dim : rule.shape) expected.push_back(size_of(dim, c));
  if (tensor.shape != expected)
    return bad_data("{}: tensor {} has shape [{}], but the metadata asks for [{}]", checkpoint.source,
                    tensor.name, fmt::join(tensor.shape, ", "), fmt::join(expected, ", "));
  if (!tensor.encoding || !tensor.encoding->can_decode())
    return bad_data("{}: tensor {} is stored as {}, which carat can carry but not compute with",
                    checkpoint.source, tensor.name,
                    tensor.encoding ? tensor.encoding->name : "an unknown type");
  return {};
}

/// A tensor named as its factors that could not serve as such is one that the forward pass would leave out.
Status check_scale(const Checkpoint& checkpoint, const TensorRule& rule, const Tensor& tensor) {
  const std::string name = may_have_scale(rule) ? scale_name(tensor.name) : "";
  const Tensor* scale = name.empty() ? nullptr : checkpoint.find(name);
  if (!scale) return {};
  if (!find_scale(checkpoint, tensor))
    return bad_data("{}: tensor {} has shape [{}]; a factor of {} is one float, or one for each expert",
                    checkpoint.source, quote(name), fmt::join(scale->shape, ", "), quote(tensor.name));
  CARAT_TRY([[maybe_unused]] const auto factors, read_scale(checkpoint, tensor));
  return {};
}

/// All tensors of the family there and of the right shape; sets qkv_bias and qk_norm.
Status check_tensors(const Checkpoint& checkpoint, const Family& family, ModelConfig& c) {
  for (const TensorRule& rule : family.tensors) {
    const int64_t times = rule.per_layer() ? c.layers : 1;
    bool wanted = rule.presence == Presence::required || rule.presence == Presence::by_config;
    if (rule.presence == Presence::all_or_none) wanted = c.qkv_bias;
    for (int64_t i = 0; i < times; ++i) {
      if (!may_have(c, rule, i)) continue;
      const std::string name = rule.gguf_name(i);
      const Tensor* tensor = checkpoint.find(name);
      if (!tensor && wanted)
        return bad_data("{}: tensor {} is missing; {} with {} layers needs it", checkpoint.source, name,
                        family.architecture, c.layers);
      if (!tensor) continue;
      CARAT_DO(check_tensor(checkpoint, c, rule, *tensor));
      CARAT_DO(check_scale(checkpoint, rule, *tensor));
    }
  }
  return {};
}

bool any_bias(const Checkpoint& checkpoint, const Family& family, int64_t layers) {
  for (const TensorRule& rule : family.tensors) {
    if (rule.role != Role::query_bias && rule.role != Role::key_bias && rule.role != Role::value_bias &&
        rule.role != Role::query_key_value_bias)
      continue;
    if (rule.presence == Presence::required) return true;
    for (int64_t i = 0; i < layers; ++i)
      if (checkpoint.find(rule.gguf_name(i))) return true;
  }
  return false;
}

/// A tensor in the path from tokens to logits that the forward pass would leave out: running the model
/// without it would be silently wrong. (Tensors elsewhere are none of its business, and old files carry the
/// rotary frequencies per layer, which follow from the metadata.)
Status refuse_unused(const Checkpoint& checkpoint, const Family& family, const ModelConfig& c) {
  for (const Tensor& tensor : checkpoint.tensors) {
    std::string weight;  // that a factor belongs to, and is known with
    const bool is_scale = is_scale_name(tensor.name, weight) && checkpoint.find(weight);
    const std::string_view name = is_scale ? weight : tensor.name;
    if (name.ends_with(".attn_rot_embd") || name.ends_with("rotary_emb.inv_freq")) continue;
    const bool in_layer = name.starts_with("blk.");
    const auto starts = [&](std::string_view prefix) { return name.starts_with(prefix); };
    // The last two are names that conversion carries because no rule maps them: "model.layers.0.mlp.bias".
    if (!in_layer && !starts("output") && !starts("token_embd") && !starts("position_embd") &&
        !starts("model.") && !starts("lm_head"))
      continue;
    const bool known = std::any_of(family.tensors.begin(), family.tensors.end(), [&](const TensorRule& rule) {
      if (is_scale && !may_have_scale(rule)) return false;
      if (!rule.per_layer()) return name == rule.gguf;
      const size_t tail = name.size() < 5 ? std::string_view::npos : name.find('.', 4);
      if (!in_layer || tail == std::string_view::npos || name.substr(tail) != rule.gguf.substr(6))
        return false;
      const std::string_view digits = name.substr(4, tail - 4);
      int64_t layer = 0;
      if (digits.empty() || digits.size() > 9) return false;
      for (char d : digits) {
        if (d < '0' || d > '9') return false;
        layer = layer * 10 + (d - '0');
      }
      return layer < c.layers && may_have(c, rule, layer) && name == rule.gguf_name(layer);
    });
    if (!known)
      return bad_data(
          "{}: tensor {} is not part of {} with {} layers as carat knows it; it can be converted and "
          "quantized, but running the model without it would be wrong",
          checkpoint.source, quote(tensor.name), family.architecture, c.layers);
  }
  return {};
}

Status read_rope(const Checkpoint& checkpoint, const ConfigReader& read, ModelConfig& c) {
  CARAT_TRY(const double base, read.number("rope.freq_base", 1.0, 1e30, 10000.0));
  c.rope_base = static_cast<float>(base);
  // llama.cpp takes an absent type for linear, and an absent or zero factor for 1; rope.scale_linear is an
  // older name of the factor.
  CARAT_TRY(const std::string type, read.text("rope.scaling.type", "linear"));
  CARAT_TRY(const double old_factor, read.number("rope.scale_linear", 0.0, 1e6, 0.0));
  CARAT_TRY(double factor, read.number("rope.scaling.factor", 0.0, 1e6, old_factor));
  if (factor == 0.0) factor = 1.0;
  if (factor < 1e-3)
    return bad_data("{}: {} is {}, outside 0.001 to 1000000", checkpoint.source,
                    read.key("rope.scaling.factor"), factor);
  // Longrope's divisors are tensors, of families that have them.
  const bool longrope = find_family(c.architecture)->rule(Role::rope_divisors_long) != nullptr;
  if (type == "none" || (longrope && type == "longrope")) {
    factor = 1.0;
  } else if (type == "linear") {
    if (factor != 1.0) c.rope_scaling = RopeScaling::linear;
  } else if (type == "yarn") {
    c.rope_scaling = RopeScaling::yarn;
  } else {
    return bad_data("{}: {} is {}; carat knows none, linear and yarn (and llama3 as rope_freqs.weight)",
                    checkpoint.source, read.key("rope.scaling.type"), quote(type));
  }
  c.rope_factor = static_cast<float>(factor);
  CARAT_TRY(c.rope_original_context,
            read.count("rope.scaling.original_context_length", 1, kMaxContext, c.context_length));
  const bool yarn = c.rope_scaling == RopeScaling::yarn;
  CARAT_TRY(const double attention, read.number("rope.scaling.attn_factor", 1e-3, 1e3, 1.0));
  CARAT_TRY(const double extrapolation,
            read.number("rope.scaling.yarn_ext_factor", -1.0, 1.0, yarn ? 1.0 : 0.0));
  CARAT_TRY(const double fast, read.number("rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32.0));
  CARAT_TRY(const double slow, read.number("rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1.0));
  c.yarn_attention_factor = static_cast<float>(attention);
  // A negative value means "not set", as for llama.cpp's own option.
  c.yarn_ext_factor = static_cast<float>(extrapolation < 0.0 ? (yarn ? 1.0 : 0.0) : extrapolation);
  c.yarn_beta_fast = static_cast<float>(fast);
  c.yarn_beta_slow = static_cast<float>(slow);
  CARAT_TRY(c.yarn_whole_pairs, read.flag("rope.scaling.yarn_truncate", true));
  if (yarn && c.rope_base <= 1.0f)
    return bad_data("{}: {} must be above 1 for yarn", checkpoint.source, read.key("rope.freq_base"));
  return {};
}

/// Keys that mean the same in all families; what else a family's routing needs is in its read_own.
Status read_experts(const std::string& source, const ConfigReader& read, const Family& family,
                    ModelConfig& c) {
  // A family that has no other layers says so in any case.
  const auto absent = family.only_mixtures ? std::nullopt : std::optional<int64_t>(0);
  CARAT_TRY(const int64_t count,
            read.count("expert_count", family.only_mixtures ? 1 : 0, kMaxDimension, absent));
  if (count == 0) return {};
  if (!family.rule(Role::router))
    return bad_data("{}: {} says {} experts; carat knows {} without experts only", source,
                    read.key("expert_count"), count, family.architecture);
  ExpertConfig& e = c.experts;
  e.count = static_cast<int>(count);
  CARAT_TRY(const int64_t used, read.count("expert_used_count", 1, count));
  e.used = static_cast<int>(used);
  CARAT_TRY(e.feed_forward, read.count("expert_feed_forward_length", 1, 8 * kMaxDimension, c.feed_forward));
  CARAT_TRY(const double scale, read.number("expert_weights_scale", 0.0, 1e6, 1.0));
  if (scale > 0.0) e.scale = static_cast<float>(scale);  // llama.cpp takes 0 for 1
  return {};
}

/// Empty where there is no such tensor.
Result<std::vector<float>> read_divisors(const Checkpoint& checkpoint, const Family& family, Role role) {
  const TensorRule* rule = family.rule(role);
  const Tensor* tensor = rule ? checkpoint.find(rule->gguf) : nullptr;
  if (!tensor) return std::vector<float>();
  CARAT_TRY(std::vector<float> divisors, tensor->read_all());
  for (size_t i = 0; i < divisors.size(); ++i)
    if (!(divisors[i] > 0.0f) || !std::isfinite(divisors[i]))
      return bad_data("{}: {}[{}] is {}, which cannot divide a frequency", checkpoint.source, tensor->name, i,
                      divisors[i]);
  return divisors;
}

Status read_all_divisors(const Checkpoint& checkpoint, const Family& family, ModelConfig& c) {
  CARAT_TRY(c.rope_divisors, read_divisors(checkpoint, family, Role::rope_divisors));
  if (!c.rope_divisors.empty() && c.rope_scaling == RopeScaling::none) c.rope_scaling = RopeScaling::llama3;
  CARAT_TRY(const std::vector<float> within, read_divisors(checkpoint, family, Role::rope_divisors_short));
  CARAT_TRY(c.rope_divisors_long, read_divisors(checkpoint, family, Role::rope_divisors_long));
  if (within.empty() != c.rope_divisors_long.empty())
    return bad_data("{}: there are divisors of frequencies for long contexts or short ones, but not for both",
                    checkpoint.source);
  if (!within.empty()) c.rope_divisors = within;
  return {};
}

Status check_vocabulary(const Checkpoint& checkpoint, const ConfigReader& read, const ModelConfig& c) {
  CARAT_TRY(const int64_t said, read.count("vocab_size", 1, kMaxContext, c.vocabulary));
  if (said != c.vocabulary)
    return bad_data("{}: {} is {}, but token_embd.weight has {} rows", checkpoint.source,
                    read.key("vocab_size"), said, c.vocabulary);
  if (!checkpoint.metadata.has("tokenizer.ggml.tokens")) return {};
  auto tokens = checkpoint.metadata.strings_at("tokenizer.ggml.tokens");
  if (!tokens) return std::move(tokens).error().within(checkpoint.source);
  if (static_cast<int64_t>((*tokens)->size()) != c.vocabulary)
    return bad_data("{}: tokenizer.ggml.tokens has {} tokens, but token_embd.weight has {} rows",
                    checkpoint.source, (*tokens)->size(), c.vocabulary);
  return {};
}

}  // namespace

bool asked_for(Role role, const LatentConfig& latent) {
  switch (role) {
    case Role::query:
      return latent.query_rank == 0;
    case Role::key_value_expansion:
      return !latent.absorbed;
    case Role::key_expansion:
    case Role::value_expansion:
      return latent.absorbed;
    default:  // query_latent, its norm and what follows it
      return latent.query_rank > 0;
  }
}

bool may_have(const ModelConfig& c, const TensorRule& rule, int64_t layer) {
  return rule.in_layer(c.is_mixture(layer)) &&
         (rule.presence != Presence::by_config || asked_for(rule.role, c.latent));
}

Result<ModelConfig> read_model_config(const Checkpoint& checkpoint) {
  auto architecture = checkpoint.metadata.string_at("general.architecture");
  if (!architecture) return std::move(architecture).error().within(checkpoint.source);
  const Family* family = find_family(**architecture);
  if (!family)
    return bad_data("{}: architecture {} is not supported; carat runs {}", checkpoint.source, **architecture,
                    architecture_names());
  const ConfigReader read(checkpoint, family->architecture);
  ModelConfig c;
  c.architecture = family->architecture;
  c.rope_interleaved = family->rope_interleaved;

  CARAT_TRY(const Tensor* embedding, checkpoint.at("token_embd.weight"));
  if (embedding->shape.size() != 2)
    return bad_data("{}: tensor token_embd.weight has {} dimensions, not 2", checkpoint.source,
                    embedding->shape.size());
  c.vocabulary = embedding->shape[0];
  if (c.vocabulary < 1 || c.vocabulary > kMaxContext)
    return bad_data("{}: token_embd.weight has {} rows", checkpoint.source, c.vocabulary);
  CARAT_TRY(c.width, read.count("embedding_length", 1, kMaxDimension));
  // Every layer has tensors, so their number bounds the layers whatever the key says.
  const auto tensor_count = static_cast<int64_t>(checkpoint.tensors.size());
  CARAT_TRY(c.layers, read.count("block_count", 1, std::max<int64_t>(tensor_count, 1)));
  CARAT_TRY(c.feed_forward, read.count("feed_forward_length", 1, 8 * kMaxDimension));
  CARAT_TRY(const int64_t heads, read.count("attention.head_count", 1, c.width * 64));
  CARAT_TRY(const int64_t kv_heads, read.count("attention.head_count_kv", 1, heads, heads));
  if (heads > kMaxDimension) return bad_data("{}: {} heads are too many", checkpoint.source, heads);
  if (heads % kv_heads != 0)
    return bad_data("{}: {} query heads do not divide into {} key-value heads", checkpoint.source, heads,
                    kv_heads);
  const bool own_head = read.has("attention.key_length") && read.has("attention.value_length");
  if (!own_head && c.width % heads != 0)
    return bad_data("{}: a width of {} does not divide into {} heads", checkpoint.source, c.width, heads);
  CARAT_TRY(const int64_t head_dim, read.count("attention.key_length", 1, 65536, c.width / heads));
  CARAT_TRY(const int64_t value_dim, read.count("attention.value_length", 1, 65536, c.width / heads));
  const bool rotates = !family->rule(Role::position_embedding);
  int64_t rotary = 0;
  if (rotates) {
    CARAT_TRY(rotary, read.count("rope.dimension_count", 2, head_dim, head_dim));
  }
  if (rotates && (rotary % 2 != 0 || rotary < 2))
    return bad_data("{}: {} rotary dimensions are not a positive even number", checkpoint.source, rotary);
  if (family->reorders_rotary() && rotary != head_dim)
    return bad_data("{}: {} is {}, but {} rotates whole heads of {}", checkpoint.source,
                    read.key("rope.dimension_count"), rotary, family->architecture, head_dim);
  c.heads = static_cast<int>(heads);
  c.kv_heads = static_cast<int>(kv_heads);
  c.head_dim = static_cast<int>(head_dim);
  c.value_dim = static_cast<int>(value_dim);
  c.rotary_dim = static_cast<int>(rotary);
  c.attention_scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  c.norm = family->norm;
  CARAT_TRY(const double epsilon, read.number(c.norm == NormKind::rms ? "attention.layer_norm_rms_epsilon"
                                                                      : "attention.layer_norm_epsilon",
                                              0.0, 1.0));
  c.norm_epsilon = static_cast<float>(epsilon);
  CARAT_TRY(c.context_length, read.count("context_length", 1, kMaxContext));
  CARAT_TRY(c.sliding_window, read.count("attention.sliding_window", 0, kMaxContext, 0));
  CARAT_DO(read_experts(checkpoint.source, read, *family, c));
  if (rotates) CARAT_DO(read_rope(checkpoint, read, c));
  if (family->read_own) CARAT_DO(family->read_own(read, c));
  CARAT_DO(check_vocabulary(checkpoint, read, c));

  c.tied_embeddings = !checkpoint.find("output.weight");
  c.qkv_bias = any_bias(checkpoint, *family, c.layers);
  c.qk_norm = family->rule(Role::query_norm) != nullptr;
  c.post_norms = family->rule(Role::post_attention_norm) != nullptr;
  CARAT_DO(check_tensors(checkpoint, *family, c));
  CARAT_DO(refuse_unused(checkpoint, *family, c));
  CARAT_DO(read_all_divisors(checkpoint, *family, c));
  return c;
}

}  // namespace carat
