// OLMo 2: attention and feed-forward read the residual stream as it is; what they give is normed. q and k are
// normed over the width of all their heads together. OLMo 3, which has the same name in GGUF, adds sliding
// windows with a rotation of their own, and is refused.
#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/model_config.h"
#include "arch/tensor_tables.h"

namespace carat {
namespace {

Status read_olmo2(const ConfigReader& read, ModelConfig& c) {
  if (c.sliding_window > 0)
    return bad_data("{} is {}: this is OLMo 3, which carat cannot run", read.key("attention.sliding_window"),
                    c.sliding_window);
  return {};
}

TensorRules olmo2_tensors() {
  using enum Role;
  TensorRules t = decoder_tensors(Presence::optional, false);
  drop(t, {query_bias, key_bias, value_bias, rope_divisors, attention_norm, feed_forward_norm});
  add_to_layers(
      t,
      {{query_norm, "blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_norm.weight", {Dim::queries}},
       {key_norm, "blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_norm.weight", {Dim::keys}}});
  add_post_norms(t, "model.layers.{}.post_attention_layernorm.weight",
                 "model.layers.{}.post_feedforward_layernorm.weight");
  return t;
}

}  // namespace

const Family& olmo2_family() {
  static const Family family{
      .architecture = "olmo2",
      .classes = {{"Olmo2ForCausalLM", "olmo2", HfClass::Window::never, 2048, 0}},
      .rope_interleaved = false,
      .writes_vocabulary_and_rotary = false,
      .tensors = olmo2_tensors(),
      .norms = {{Role::output_norm, {Role::output}}},
      .pairs = decoder_pairs(),
      .read_own = &read_olmo2,
      .checked_against = "llama.cpp and transformers",
      .hf = {.keys = {{"attention_bias", "", HfKey::Kind::flag, 0}}, .written = false}};
  return family;
}

}  // namespace carat
