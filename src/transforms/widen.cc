#include "transforms/widen.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "arch/family.h"
#include "arch/model_config.h"
#include "transforms/overlay.h"

namespace carat {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 20;

enum class Fill { zeros, copies };

/// Source of each residual channel. A copy comes from half a width away: a neighbour would put the same value
/// into a block twice.
std::vector<int64_t> spread(int64_t old_size, int64_t new_size, Fill fill) {
  std::vector<int64_t> map(static_cast<size_t>(new_size), -1);
  for (int64_t i = 0; i < old_size; ++i) map[i * new_size / old_size] = i;
  int64_t before = 0;
  for (int64_t& from : map) {
    if (from >= 0)
      before = from;
    else if (fill == Fill::copies)
      from = (before + old_size / 2) % old_size;
  }
  return map;
}

/// Source of each channel where new ones are appended.
std::vector<int64_t> append(int64_t old_size, int64_t new_size, Fill fill) {
  std::vector<int64_t> map(static_cast<size_t>(new_size));
  for (int64_t i = 0; i < new_size; ++i) map[i] = i < old_size ? i : fill == Fill::copies ? i % old_size : -1;
  return map;
}

struct Sizes {
  int64_t width, heads, kv_heads, feed_forward;
};

class Widener {
 public:
  Widener(const Family& family, const ModelConfig& config, const Sizes& to)
      : family_(family), config_(config), to_(to) {}

  Tensor apply(const TensorRule& rule, const Tensor& t) const {
    Overlay overlay;
    if (rule.shape.size() == 1) {
      overlay.column = map(rule.shape[0], rows_fill(rule));
    } else {
      overlay.row = map(rule.shape[0], rows_fill(rule));
      overlay.column = map(rule.shape[1], rule.role == Role::token_embedding ? Fill::zeros : Fill::copies);
    }
    const bool gain = rule.shape.size() == 1 && rule.shape[0] == Dim::width;
    const bool normed = config_.qk_norm && (rule.role == Role::query || rule.role == Role::key ||
                                            rule.role == Role::query_bias || rule.role == Role::key_bias);
    if (gain || normed)
      overlay.scale = std::sqrt(static_cast<double>(config_.width) / static_cast<double>(to_.width));
    if (overlay.row.empty() && overlay.column.empty() && overlay.scale == 1.0) return t;
    return with_overlay(t, std::move(overlay));
  }

 private:
  /// New rows of what writes the residual stream, and of what is multiplied into it, are zero; others are
  /// free.
  Fill rows_fill(const TensorRule& rule) const {
    if (rule.shape.size() == 2 && rule.shape[0] == Dim::width) return Fill::zeros;
    for (const ChannelPair& pair : family_.pairs)
      if (rule.role == pair.producer || rule.role == pair.producer_bias) return Fill::zeros;
    return Fill::copies;
  }

  /// Empty where the dimension stays as it is.
  std::vector<int64_t> map(Dim dim, Fill fill) const {
    const auto appended = [fill](int64_t from, int64_t to) {
      return from == to ? std::vector<int64_t>() : append(from, to, fill);
    };
    switch (dim) {
      case Dim::width:
        return config_.width == to_.width ? std::vector<int64_t>() : spread(config_.width, to_.width, fill);
      case Dim::feed_forward:
        return appended(config_.feed_forward, to_.feed_forward);
      case Dim::queries:
        return appended(int64_t{config_.heads} * config_.head_dim, to_.heads * config_.head_dim);
      case Dim::keys:
        return appended(int64_t{config_.kv_heads} * config_.head_dim, to_.kv_heads * config_.head_dim);
      case Dim::values:
        return appended(int64_t{config_.kv_heads} * config_.value_dim, to_.kv_heads * config_.value_dim);
      case Dim::mixed_values:
        return appended(int64_t{config_.heads} * config_.value_dim, to_.heads * config_.value_dim);
      case Dim::heads:
      case Dim::queries_keys_values:
      case Dim::gates_and_ups:
      case Dim::positions:
      case Dim::vocabulary:
      case Dim::head:
      case Dim::half_rotary:
      case Dim::experts:
      case Dim::expert_feed_forward:
      case Dim::shared_feed_forward:
      case Dim::query_rank:
      case Dim::latent_queries:
      case Dim::latent_rank:
      case Dim::latent_keys:
      case Dim::latent_plain:
      case Dim::latent_value:
      case Dim::latent_keys_and_values:
        break;
    }
    return {};
  }

  const Family& family_;
  const ModelConfig& config_;
  const Sizes& to_;
};

Result<int64_t> grown(std::string_view what, int64_t from, int64_t to) {
  if (to == 0) return from;
  if (to < from || to > kMaxSize)
    return usage_error("cannot widen to {} {}: the model has {}, and at most {} are possible", to, what, from,
                       kMaxSize);
  return to;
}

}  // namespace

Result<Checkpoint> widen(Checkpoint in, const WidenOptions& options) {
  CARAT_TRY(const ModelConfig config, read_model_config(in));
  const Family& family = *find_family(config.architecture);
  if (config.experts.count > 0 || config.latent.rank > 0)
    return usage_error("{} cannot be widened: carat widens no mixtures of experts and no latent attention",
                       in.source);
  if (config.norm != NormKind::rms || !family.rule(Role::query) || !family.rule(Role::gate) ||
      !family.rule(Role::attention_norm))
    return usage_error("{}: {} cannot be widened; only families whose blocks are like llama's can", in.source,
                       config.architecture);
  if (config.embedding_scale != 1.0f && options.width > 0)
    return usage_error("{} cannot be widened to more columns: {} scales its embeddings by their number",
                       in.source, config.architecture);
  Sizes to{};
  CARAT_TRY(to.width, grown("columns", config.width, options.width));
  CARAT_TRY(to.heads, grown("heads", config.heads, options.heads));
  CARAT_TRY(to.feed_forward, grown("feed-forward channels", config.feed_forward, options.feed_forward));
  const int64_t group = config.heads / config.kv_heads;
  if (to.heads % group != 0)
    return usage_error("cannot widen to {} heads: {} query heads share each key-value head", to.heads, group);
  to.kv_heads = to.heads / group;

  const Widener widener(family, config, to);
  std::unordered_map<std::string, const TensorRule*> rules;
  for (const TensorRule& rule : family.tensors)
    for (int64_t layer = 0; layer < (rule.per_layer() ? config.layers : 1); ++layer)
      rules.emplace(rule.gguf_name(layer), &rule);
  for (Tensor& t : in.tensors)
    if (const auto it = rules.find(t.name); it != rules.end()) t = widener.apply(*it->second, t);

  const std::string prefix = config.architecture + ".";
  const auto set = [&](std::string_view key, int64_t n) {
    in.metadata.set(prefix + std::string(key), Value::u32(static_cast<uint32_t>(n)));
  };
  set("embedding_length", to.width);
  set("attention.head_count", to.heads);
  set("attention.head_count_kv", to.kv_heads);
  set("feed_forward_length", to.feed_forward);
  // Without these keys a head is width / heads wide.
  const bool implied = to.width % to.heads == 0 && to.width / to.heads == config.head_dim &&
                       config.value_dim == config.head_dim;
  if (!implied || in.metadata.has(prefix + "attention.key_length")) {
    set("attention.key_length", config.head_dim);
    set("attention.value_length", config.value_dim);
  }
  CARAT_TRY(const double epsilon, in.metadata.number_at(prefix + "attention.layer_norm_rms_epsilon"));
  in.metadata.set(prefix + "attention.layer_norm_rms_epsilon",
                  Value::f32(static_cast<float>(epsilon * static_cast<double>(config.width) /
                                                static_cast<double>(to.width))));
  in.metadata.set("carat.transform.widen", Value::string(fmt::format("width={} heads={} feed_forward={}",
                                                                     to.width, to.heads, to.feed_forward)));
  in.metadata.set("general.file_type", Value::u32(0));  // what is read from here on is F32
  return in;
}

}  // namespace carat
