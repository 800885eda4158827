// StarCoder2: LayerNorm, a feed-forward without a gate, down(gelu(up)), and a bias beside every matrix of the
// layers.
#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/model_config.h"
#include "arch/tensor_tables.h"

namespace carat {
namespace {

Status read_starcoder2(const ConfigReader&, ModelConfig& c) {
  c.gated = false;
  c.gate = Gate::gelu;
  return {};
}

TensorRules starcoder2_tensors() {
  using enum Role;
  TensorRules t = decoder_tensors(Presence::required, false);
  drop(t, {rope_divisors, gate});
  rename_in_hf(t, up, "model.layers.{}.mlp.c_fc.weight");
  rename_in_hf(t, down, "model.layers.{}.mlp.c_proj.weight");
  add_to_layers(
      t,
      {{attention_norm_bias, "blk.{}.attn_norm.bias", "model.layers.{}.input_layernorm.bias", {Dim::width}},
       {attention_output_bias,
        "blk.{}.attn_output.bias",
        "model.layers.{}.self_attn.o_proj.bias",
        {Dim::width}},
       {feed_forward_norm_bias,
        "blk.{}.ffn_norm.bias",
        "model.layers.{}.post_attention_layernorm.bias",
        {Dim::width}},
       {up_bias, "blk.{}.ffn_up.bias", "model.layers.{}.mlp.c_fc.bias", {Dim::feed_forward}},
       {down_bias, "blk.{}.ffn_down.bias", "model.layers.{}.mlp.c_proj.bias", {Dim::width}}});
  t.push_back({output_norm_bias, "output_norm.bias", "model.norm.bias", {Dim::width}});
  return t;
}

}  // namespace

// Factors cannot move through GELU: there is no pair of up and down.
const Family& starcoder2_family() {
  using enum Role;
  static const Family family{
      .architecture = "starcoder2",
      .classes = {{"Starcoder2ForCausalLM", "starcoder2", HfClass::Window::always, 4096, 0}},
      .rope_interleaved = false,
      .writes_vocabulary_and_rotary = false,
      .tensors = starcoder2_tensors(),
      .norms = {{attention_norm, {query, key, value}, attention_norm_bias},
                {feed_forward_norm, {up}, feed_forward_norm_bias},
                {output_norm, {output}, output_norm_bias}},
      .pairs = {{value, value_bias, value, attention_output, true}},
      .read_own = &read_starcoder2,
      .norm = NormKind::layer,
      .checked_against = "llama.cpp and transformers",
      .hf = {.activations = {"gelu_pytorch_tanh"},
             .keys = {{"use_bias", "", HfKey::Kind::flag, 1}},
             .written = false}};
  return family;
}

}  // namespace carat
