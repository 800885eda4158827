// gpt-oss: experts in every layer, biases everywhere, a logit per head that takes part in attention's
// softmax, a window in every other layer, gates that are clamped (transformers' modeling_gpt_oss; llama.cpp's
// models/openai-moe.cpp, whose constants are those of Gate::clamped). What its router chooses is weighed by
// the softmax of the chosen alone.
#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/model_config.h"
#include "arch/tensor_tables.h"

namespace carat {
namespace {

constexpr int64_t kPeriod = 2;

Status read_gpt_oss(const ConfigReader&, ModelConfig& c) {
  c.window_period = kPeriod;
  c.gate = Gate::clamped;
  c.experts.routing = Routing::softmax_of_chosen;
  return {};
}

TensorRules gpt_oss_tensors() {
  using enum Role;
  TensorRules t = with_experts(decoder_tensors(Presence::required, false), {});
  drop(t, {rope_divisors});
  for (TensorRule& rule : t)
    if (rule.role == feed_forward_norm) rule.gguf = "blk.{}.post_attention_norm.weight";
  add_to_layers(
      t, {{attention_sinks, "blk.{}.attn_sinks.weight", "", {Dim::heads}},
          {attention_output_bias, "blk.{}.attn_output.bias", "", {Dim::width}},
          {router_bias, "blk.{}.ffn_gate_inp.bias", "", {Dim::experts}},
          {gate_experts_bias, "blk.{}.ffn_gate_exps.bias", "", {Dim::experts, Dim::expert_feed_forward}},
          {up_experts_bias, "blk.{}.ffn_up_exps.bias", "", {Dim::experts, Dim::expert_feed_forward}},
          {down_experts_bias, "blk.{}.ffn_down_exps.bias", "", {Dim::experts, Dim::width}}});
  return t;
}

}  // namespace

const Family& gpt_oss_family() {
  static const Family family{.architecture = "gpt-oss",
                             .classes = {},
                             .rope_interleaved = false,
                             .writes_vocabulary_and_rotary = false,
                             .tensors = gpt_oss_tensors(),
                             .norms = decoder_norms(),
                             .pairs = decoder_pairs(),
                             .read_own = &read_gpt_oss,
                             .only_mixtures = true,
                             .checked_against = "llama.cpp"};
  return family;
}

}  // namespace carat
