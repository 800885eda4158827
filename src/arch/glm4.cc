// GLM-4 (0414, dense): norms before and after attention and feed-forward, gate and up in one tensor, and half
// of each head rotated in adjacent pairs, at Hugging Face, too.
#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/model_config.h"
#include "arch/tensor_tables.h"

namespace carat {
namespace {

Status read_glm4(const ConfigReader& read, ModelConfig&) {
  if (read.has("rope.dimension_sections"))
    return bad_data("{} is there: rotations of pictures' positions are not supported",
                    read.key("rope.dimension_sections"));
  CARAT_TRY(const int64_t more, read.count("nextn_predict_layers", 0, 1 << 20, 0));
  if (more > 0)
    return bad_data("{} is {}; layers that predict more than one token are not supported",
                    read.key("nextn_predict_layers"), more);
  return {};
}

TensorRules glm4_tensors() {
  TensorRules t = decoder_tensors(Presence::all_or_none, false);
  drop(t, {Role::rope_divisors});
  fuse_gate_and_up(t, "model.layers.{}.mlp.gate_up_proj.weight");
  add_post_norms(t, "model.layers.{}.post_self_attn_layernorm.weight",
                 "model.layers.{}.post_mlp_layernorm.weight");
  return t;
}

}  // namespace

// Rows of up are a part of a fused tensor and have no factors of their own.
const Family& glm4_family() {
  using enum Role;
  static const Family family{.architecture = "glm4",
                             .classes = {{"Glm4ForCausalLM", "glm4", HfClass::Window::never, 131072, 128}},
                             .rope_interleaved = true,
                             .writes_vocabulary_and_rotary = false,
                             .tensors = glm4_tensors(),
                             .norms = {{attention_norm, {query, key, value}},
                                       {feed_forward_norm, {gate_up}},
                                       {output_norm, {output}}},
                             .pairs = {{value, value_bias, value, attention_output, true}},
                             .read_own = &read_glm4,
                             .checked_against = "llama.cpp and transformers",
                             .hf_rope_interleaved = true,
                             .hf = {.rotary_share = 0.5, .written = false}};
  return family;
}

}  // namespace carat
