// For tests: a small random model of any family, in memory, in GGUF's vocabulary.
#pragma once

#include <string>

#include "arch/family.h"
#include "arch/tensor_views.h"
#include "base/random.h"
#include "containers/checkpoint.h"

namespace carat::testing {

struct TinyShape {
  int64_t layers = 2, width = 12, feed_forward = 20, heads = 6, kv_heads = 3, head_dim = 4, vocabulary = 11;
  bool tied = false;
  bool biases = false;     ///< llama and qwen3; qwen2 always has them
  bool divisors = false;   ///< rope_freqs.weight, or longrope's
  int64_t rotary_dim = 0;  ///< 0: all of a head
  int64_t experts = 0;     ///< of every layer
  int64_t expert_feed_forward = 8, shared_feed_forward = 0, first_mixture = 0;
  // Of latent attention; head_dim is that of a key, rotated part included.
  int64_t latent_rank = 10, query_rank = 6, latent_value = 3;
  bool absorbed = false;
};

inline constexpr int64_t kTinyContext = 64;

/// Of families that are mixtures only, one that is.
inline TinyShape tiny_shape(const Family& family, TinyShape shape = {}) {
  if (family.rule(Role::key_value_latent)) {
    shape.experts = 4;
    shape.shared_feed_forward = 2 * shape.expert_feed_forward;
    shape.first_mixture = 1;
    shape.kv_heads = shape.heads;
    shape.rotary_dim = 2;
  }
  if (family.only_mixtures) shape.experts = 4;
  if (family.only_mixtures && family.rule(Role::shared_gate))
    shape.shared_feed_forward = 2 * shape.expert_feed_forward;
  return shape;
}

inline int64_t tiny_size(Dim dim, const TinyShape& s) {
  switch (dim) {
    case Dim::vocabulary:
      return s.vocabulary;
    case Dim::width:
      return s.width;
    case Dim::feed_forward:
      return s.feed_forward;
    case Dim::head:
      return s.head_dim;
    case Dim::half_rotary:
      return (s.rotary_dim > 0 ? s.rotary_dim : s.head_dim) / 2;
    case Dim::query_rank:
      return s.query_rank;
    case Dim::latent_rank:
      return s.latent_rank;
    case Dim::latent_keys:
      return s.latent_rank + s.rotary_dim;
    case Dim::latent_plain:
      return s.head_dim - s.rotary_dim;
    case Dim::latent_value:
      return s.latent_value;
    case Dim::latent_keys_and_values:
      return s.heads * (s.head_dim - s.rotary_dim + s.latent_value);
    case Dim::queries:
    case Dim::mixed_values:
    case Dim::latent_queries:
      return s.heads * s.head_dim;
    case Dim::keys:
    case Dim::values:
      return s.kv_heads * s.head_dim;
    case Dim::experts:
      return s.experts;
    case Dim::expert_feed_forward:
      return s.expert_feed_forward;
    case Dim::shared_feed_forward:
      return s.shared_feed_forward;
    case Dim::heads:
      return s.heads;
    case Dim::queries_keys_values:
      return (s.heads + 2 * s.kv_heads) * s.head_dim;
    case Dim::gates_and_ups:
      return 2 * s.feed_forward;
    case Dim::positions:
      return kTinyContext;
  }
  return 0;
}

inline Checkpoint tiny_model(const std::string& architecture, const TinyShape& s, uint64_t seed = 1) {
  const Family& family = *find_family(architecture);
  Checkpoint c;
  c.source = "tiny";
  c.container = "gguf";
  Metadata& m = c.metadata;
  const auto count = [&](const char* key, int64_t n) {
    m.set(architecture + "." + key, Value::u32(static_cast<uint32_t>(n)));
  };
  m.set("general.architecture", Value::string(architecture));
  m.set("general.type", Value::string("model"));
  m.set("general.name", Value::string("tiny"));
  count("block_count", s.layers);
  count("context_length", kTinyContext);
  count("embedding_length", s.width);
  count("feed_forward_length", s.feed_forward);
  count("attention.head_count", s.heads);
  count("attention.head_count_kv", s.kv_heads);
  m.set(architecture + ".rope.freq_base", Value::f32(10000.0f));
  m.set(architecture + (family.norm == NormKind::rms ? ".attention.layer_norm_rms_epsilon"
                                                     : ".attention.layer_norm_epsilon"),
        Value::f32(1e-5f));
  if (architecture == "granite") m.set("granite.logit_scale", Value::f32(2.0f));
  count("attention.key_length", s.head_dim);
  count("attention.value_length", s.head_dim);
  if (family.writes_vocabulary_and_rotary) {
    count("vocab_size", s.vocabulary);
    count("rope.dimension_count", s.head_dim);
  }
  if (s.experts > 0) {
    count("expert_count", s.experts);
    count("expert_used_count", 2);
    if (architecture != "llama") count("expert_feed_forward_length", s.expert_feed_forward);
    if (s.shared_feed_forward > 0) count("expert_shared_feed_forward_length", s.shared_feed_forward);
  }
  const bool latent = family.rule(Role::key_value_latent) != nullptr;
  if (latent) {
    count("rope.dimension_count", s.rotary_dim);
    count("attention.kv_lora_rank", s.latent_rank);
    if (s.query_rank > 0) count("attention.q_lora_rank", s.query_rank);
    count("attention.value_length", s.latent_value);
    if (s.absorbed) {
      count("attention.head_count_kv", 1);
      count("attention.key_length", s.latent_rank + s.rotary_dim);
      count("attention.value_length", s.latent_rank);
      count("attention.key_length_mla", s.head_dim);
      count("attention.value_length_mla", s.latent_value);
    }
    count("leading_dense_block_count", s.first_mixture);
    count("expert_gating_func", 1);
    m.set(architecture + ".expert_weights_scale", Value::f32(1.0f));
    m.set(architecture + ".expert_weights_norm", Value::boolean(false));
    count("expert_shared_count", s.shared_feed_forward / s.expert_feed_forward);
  }
  Random random(seed);
  const auto add = [&](const TensorRule& rule, int64_t layer) {
    Tensor t;
    t.name = rule.gguf_name(layer);
    for (Dim dim : rule.shape)
      t.shape.push_back(latent && dim == Dim::mixed_values ? s.heads * s.latent_value : tiny_size(dim, s));
    t.encoding = &encoding_f32();
    std::vector<float> values(static_cast<size_t>(t.elements()));
    const bool gain = t.name.find("norm") != std::string::npos && t.name.ends_with(".weight");
    const bool divisor = rule.shape.front() == Dim::half_rotary;
    for (float& x : values)
      x = static_cast<float>(gain || divisor ? 1.0 + 0.5 * random.uniform() : 0.4 * random.normal());
    t.data = float_data(std::move(values), t.columns());
    c.tensors.push_back(std::move(t));
  };
  // Layers stand together, as in a converted file.
  for (int stage = 0; stage < 3; ++stage)
    for (int64_t layer = 0; layer < (stage == 1 ? s.layers : 1); ++layer)
      for (const TensorRule& rule : family.tensors) {
        const bool before = rule.shape.front() == Dim::half_rotary || rule.role == Role::position_embedding ||
                            rule.role == Role::token_embedding;
        if (stage != (rule.per_layer() ? 1 : before ? 0 : 2)) continue;
        if (rule.role == Role::output && s.tied) continue;
        if (rule.shape.front() == Dim::half_rotary && !s.divisors) continue;
        if (rule.presence == Presence::all_or_none && !s.biases) continue;
        if (!rule.in_layer(s.experts > 0 && layer >= s.first_mixture)) continue;
        if (rule.presence == Presence::by_config) {
          const bool halves = rule.role == Role::key_expansion || rule.role == Role::value_expansion;
          if (halves || rule.role == Role::key_value_expansion) {
            if (halves != s.absorbed) continue;
          } else if ((rule.role == Role::query) != (s.query_rank == 0)) {
            continue;
          }
        }
        add(rule, layer);
      }
  (void)c.reindex();
  return c;
}

}  // namespace carat::testing
