// GPT-2: an embedding for every position instead of a rotation, LayerNorm, q, k and v in one tensor, a
// feed-forward without a gate, and a bias beside every matrix of the layers. Hugging Face stores matrices as
// [columns, rows] (Conv1D).
#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/model_config.h"

namespace carat {
namespace {

Status read_gpt2(const ConfigReader&, ModelConfig& c) {
  c.gated = false;
  c.gate = Gate::gelu;
  return {};
}

std::vector<TensorRule> gpt2_tensors() {
  using enum Role;
  using enum Dim;
  return {
      {position_embedding, "position_embd.weight", "transformer.wpe.weight", {positions, width}},
      {token_embedding, "token_embd.weight", "transformer.wte.weight", {vocabulary, width}},
      {attention_norm, "blk.{}.attn_norm.weight", "transformer.h.{}.ln_1.weight", {width}},
      {attention_norm_bias, "blk.{}.attn_norm.bias", "transformer.h.{}.ln_1.bias", {width}},
      {query_key_value,
       "blk.{}.attn_qkv.weight",
       "transformer.h.{}.attn.c_attn.weight",
       {queries_keys_values, width},
       Presence::required,
       LayerKind::every,
       HfForm::transposed},
      {query_key_value_bias,
       "blk.{}.attn_qkv.bias",
       "transformer.h.{}.attn.c_attn.bias",
       {queries_keys_values}},
      {attention_output,
       "blk.{}.attn_output.weight",
       "transformer.h.{}.attn.c_proj.weight",
       {width, mixed_values},
       Presence::required,
       LayerKind::every,
       HfForm::transposed},
      {attention_output_bias, "blk.{}.attn_output.bias", "transformer.h.{}.attn.c_proj.bias", {width}},
      {feed_forward_norm, "blk.{}.ffn_norm.weight", "transformer.h.{}.ln_2.weight", {width}},
      {feed_forward_norm_bias, "blk.{}.ffn_norm.bias", "transformer.h.{}.ln_2.bias", {width}},
      {up,
       "blk.{}.ffn_up.weight",
       "transformer.h.{}.mlp.c_fc.weight",
       {feed_forward, width},
       Presence::required,
       LayerKind::every,
       HfForm::transposed},
      {up_bias, "blk.{}.ffn_up.bias", "transformer.h.{}.mlp.c_fc.bias", {feed_forward}},
      {down,
       "blk.{}.ffn_down.weight",
       "transformer.h.{}.mlp.c_proj.weight",
       {width, feed_forward},
       Presence::required,
       LayerKind::every,
       HfForm::transposed},
      {down_bias, "blk.{}.ffn_down.bias", "transformer.h.{}.mlp.c_proj.bias", {width}},
      {output_norm, "output_norm.weight", "transformer.ln_f.weight", {width}},
      {output_norm_bias, "output_norm.bias", "transformer.ln_f.bias", {width}},
      {output, "output.weight", "lm_head.weight", {vocabulary, width}, Presence::optional},
  };
}

}  // namespace

// No factors move through GELU, nor into a part of the fused tensor.
const Family& gpt2_family() {
  using enum Role;
  static const Family family{.architecture = "gpt2",
                             .classes = {{"GPT2LMHeadModel", "gpt2", HfClass::Window::never, 1024, 0}},
                             .rope_interleaved = false,
                             .writes_vocabulary_and_rotary = false,
                             .tensors = gpt2_tensors(),
                             .norms = {{attention_norm, {query_key_value}, attention_norm_bias},
                                       {feed_forward_norm, {up}, feed_forward_norm_bias},
                                       {output_norm, {output}, output_norm_bias}},
                             .pairs = {},
                             .read_own = &read_gpt2,
                             .norm = NormKind::layer,
                             .checked_against = "llama.cpp and transformers",
                             .hf = {.activations = {"gelu_new", "gelu_pytorch_tanh"},
                                    .keys = {{"scale_attn_weights", "", HfKey::Kind::flag, 1},
                                             {"scale_attn_by_inverse_layer_idx", "", HfKey::Kind::flag, 0},
                                             {"add_cross_attention", "", HfKey::Kind::flag, 0}},
                                    .written = false}};
  return family;
}

}  // namespace carat
