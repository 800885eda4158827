// For tests: small models whose layers are mixtures of experts or have latent attention, and what they
// compute.
#pragma once

#include "arch/tiny_model.h"
#include "kernels/kernel_table.h"
#include "quantize/hidden_states.h"
#include "quantize/testing.h"
#include "stats/gram.h"
#include "stats/testing.h"

namespace carat::testing {

inline constexpr int64_t kMixtureContext = 24, kMixtureVocabulary = 96, kMixtureExperts = 4;

inline CalibrationText mixture_text(uint64_t seed = 3, int64_t sequences = 24) {
  CalibrationText out = random_text(sequences, kMixtureContext, kMixtureVocabulary, seed);
  out.digest = std::string(64, 'a');
  return out;
}

struct Mixture {
  std::string name;
  Checkpoint checkpoint;
};

inline Checkpoint mixture_model(const std::string& architecture, bool absorbed = false) {
  TinyShape shape{.layers = 2,
                  .width = 64,
                  .feed_forward = 64,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 32,
                  .vocabulary = kMixtureVocabulary,
                  .experts = kMixtureExperts,
                  .expert_feed_forward = 64,
                  .latent_rank = 32,
                  .query_rank = 32,
                  .latent_value = 32,
                  .absorbed = absorbed};
  // So that heads' own products have rows of 32.
  if (architecture == "deepseek2") shape.head_dim = 34;
  return tiny_model(architecture, tiny_shape(*find_family(architecture), shape), 5);
}

/// One of each: without and with shared experts, with biases, with latent attention in both layouts.
inline std::vector<Mixture> mixtures() {
  return {
      {"mixtral", mixture_model("llama")},       {"qwen2moe", mixture_model("qwen2moe")},
      {"qwen3moe", mixture_model("qwen3moe")},   {"gpt-oss", mixture_model("gpt-oss")},
      {"deepseek2", mixture_model("deepseek2")}, {"deepseek2 absorbed", mixture_model("deepseek2", true)}};
}

/// gpt-oss whose last expert of the second layer is never asked.
inline Checkpoint with_an_idle_expert() {
  Checkpoint c = mixture_model("gpt-oss");
  for (Tensor& t : c.tensors) {
    if (t.name != "blk.1.ffn_gate_inp.bias") continue;
    std::vector<float> values = *t.read_all();
    values.back() = -1e6f;
    t.data = float_data(std::move(values), t.columns());
  }
  EXPECT_TRUE(c.reindex().ok());
  return c;
}

/// Hidden states of all tokens after `layers` layers; `tap` is shown what the last of them reads.
inline std::vector<float> states_after(const Checkpoint& checkpoint, const CalibrationText& with,
                                       int64_t layers, ActivationScheme scheme, InputTap* tap = nullptr) {
  Runner runner;
  const auto weights = load_weights(runner.context(), checkpoint);
  EXPECT_TRUE(weights.ok()) << weights.error().message;
  Sequences sequences(weights->config, with);
  std::vector<float> x(sequences.state_size());
  EXPECT_TRUE(sequences.embed(runner.context(), *weights, x.data()).ok());
  for (int64_t l = 0; l < layers; ++l) {
    const Model m{*weights, **default_kernel_table(), scheme, nullptr, l + 1 == layers ? tap : nullptr};
    EXPECT_TRUE(
        sequences.through(runner.context(), m, weights->layers[static_cast<size_t>(l)], l, x.data()).ok());
  }
  return x;
}

inline std::vector<float> hessian_of(const std::vector<float>& rows, int64_t columns) {
  Runner runner;
  std::vector<float> h(static_cast<size_t>(columns * columns));
  accumulate_gram(runner.pool, **default_kernel_table(), ActivationScheme::bfloat16, rows.data(),
                  static_cast<int64_t>(rows.size()) / columns, columns, h.data());
  mirror_gram(runner.pool, h.data(), columns);
  return h;
}

}  // namespace carat::testing
