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
  bool biases = false;    ///< llama and qwen3; qwen2 always has them
  bool divisors = false;  ///< rope_freqs.weight
};

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
      return s.head_dim / 2;
    case Dim::queries:
    case Dim::mixed_values:
      return s.heads * s.head_dim;
    case Dim::keys:
    case Dim::values:
      return s.kv_heads * s.head_dim;
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
  count("context_length", 64);
  count("embedding_length", s.width);
  count("feed_forward_length", s.feed_forward);
  count("attention.head_count", s.heads);
  count("attention.head_count_kv", s.kv_heads);
  m.set(architecture + ".rope.freq_base", Value::f32(10000.0f));
  m.set(architecture + ".attention.layer_norm_rms_epsilon", Value::f32(1e-5f));
  count("attention.key_length", s.head_dim);
  count("attention.value_length", s.head_dim);
  if (family.writes_vocabulary_and_rotary) {
    count("vocab_size", s.vocabulary);
    count("rope.dimension_count", s.head_dim);
  }
  Random random(seed);
  const auto add = [&](const TensorRule& rule, int64_t layer) {
    Tensor t;
    t.name = rule.gguf_name(layer);
    for (Dim dim : rule.shape) t.shape.push_back(tiny_size(dim, s));
    t.encoding = &encoding_f32();
    std::vector<float> values(static_cast<size_t>(t.elements()));
    const bool gain = t.name.ends_with("norm.weight") || rule.role == Role::rope_divisors;
    for (float& x : values)
      x = static_cast<float>(gain ? 1.0 + 0.5 * random.uniform() : 0.4 * random.normal());
    t.data = float_data(std::move(values), t.columns());
    c.tensors.push_back(std::move(t));
  };
  // Layers stand together, as in a converted file.
  for (int stage = 0; stage < 3; ++stage)
    for (int64_t layer = 0; layer < (stage == 1 ? s.layers : 1); ++layer)
      for (const TensorRule& rule : family.tensors) {
        const bool before = rule.role == Role::rope_divisors || rule.role == Role::token_embedding;
        if (stage != (rule.per_layer() ? 1 : before ? 0 : 2)) continue;
        if (rule.role == Role::output && s.tied) continue;
        if (rule.role == Role::rope_divisors && !s.divisors) continue;
        if (rule.presence == Presence::all_or_none && !s.biases) continue;
        add(rule, layer);
      }
  (void)c.reindex();
  return c;
}

}  // namespace carat::testing
