// gpt-oss: experts in every layer, biases everywhere, a logit per head that takes part in attention's
// softmax, a window in every other layer, gates that are clamped (transformers' modeling_gpt_oss; llama.cpp's
// models/openai-moe.cpp, whose constants are those of Gate::clamped). What its router chooses is weighed by
// the softmax of the chosen alone.
//
// Hugging Face has the experts of a layer in one tensor, as GGUF does, but gates and ups alternate in it: as
// columns of transposed matrices, or, as published, as rows of MXFP4 codes, which are passed on as they are.
#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/hf_config.h"
#include "arch/hf_reader.h"
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

/// Layers with and without a window take turns, as read_gpt_oss() has it.
Status check_layer_types(const HfReader& read) {
  const json::value* said = read.find("layer_types");
  if (!said) return {};
  const json::array* types = json_array(said);
  if (!types) return bad_data("layer_types is {}, not an array", HfReader::short_text(*said));
  for (size_t i = 0; i < types->size(); ++i) {
    const bool full = (i + 1) % kPeriod == 0;
    if ((*types)[i] != json::string(full ? "full_attention" : "sliding_attention"))
      return bad_data(
          "layer_types says {} for layer {}; carat runs gpt-oss with a window in layers 0, 2, 4 ...",
          HfReader::short_text((*types)[i]), i);
  }
  return {};
}

/// GptOssConfig. Where a key is missing that it has another value for than other classes, config.json has to
/// say which is meant.
Status read_hf_gpt_oss(const HfReader& read, HfConfig& out) {
  CARAT_DO(check_layer_types(read));
  const json::object* rope = hf_rope_object(out.object);
  if (!rope)
    return bad_data(
        "rope_scaling is missing, and transformers takes that for yarn; say which it is, or "
        "{{\"rope_type\": \"default\"}} for none");
  if (!read.find("rope_theta") && !HfReader(*rope).find("rope_theta"))
    return bad_data("rope_theta is missing");
  if (!read.find("rms_norm_eps")) return bad_data("rms_norm_eps is missing");
  return {};
}

/// Silence would mean yarn, and another base.
Status write_hf_gpt_oss(const Metadata& m, HfConfig& config) {
  json::value& rope = config.object["rope_scaling"];
  if (rope.is_null()) rope = {{"rope_type", "default"}};
  if (!m.has("gpt-oss.attention.sliding_window"))
    return bad_data(
        "gpt-oss.attention.sliding_window is missing, without which config.json cannot be written");
  return {};
}

constexpr ExpertNames kExperts{.router = "model.layers.{}.mlp.router.weight",
                               .gate = "model.layers.{}.mlp.experts.gate_up_proj",
                               .up = "model.layers.{}.mlp.experts.gate_up_proj",
                               .down = "model.layers.{}.mlp.experts.down_proj"};

HfForm form_of(Role role) {
  switch (role) {
    case Role::gate_experts:
    case Role::gate_experts_bias:
      return HfForm::first_of_pairs;
    case Role::up_experts:
    case Role::up_experts_bias:
      return HfForm::second_of_pairs;
    case Role::down_experts:
      return HfForm::transposed;
    default:
      return HfForm::same;
  }
}

TensorRules gpt_oss_tensors() {
  using enum Role;
  using enum Dim;
  TensorRules t = with_experts(decoder_tensors(Presence::required, false), kExperts);
  drop(t, {rope_divisors});
  for (TensorRule& rule : t)
    if (rule.role == feed_forward_norm) rule.gguf = "blk.{}.post_attention_norm.weight";
  add_to_layers(
      t,
      {{attention_sinks, "blk.{}.attn_sinks.weight", "model.layers.{}.self_attn.sinks", {heads}},
       {attention_output_bias, "blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias", {width}},
       {router_bias, "blk.{}.ffn_gate_inp.bias", "model.layers.{}.mlp.router.bias", {experts}},
       {gate_experts_bias,
        "blk.{}.ffn_gate_exps.bias",
        "model.layers.{}.mlp.experts.gate_up_proj_bias",
        {experts, expert_feed_forward}},
       {up_experts_bias,
        "blk.{}.ffn_up_exps.bias",
        "model.layers.{}.mlp.experts.gate_up_proj_bias",
        {experts, expert_feed_forward}},
       {down_experts_bias,
        "blk.{}.ffn_down_exps.bias",
        "model.layers.{}.mlp.experts.down_proj_bias",
        {experts, width}}});
  for (TensorRule& rule : t) rule.form = form_of(rule.role);
  return t;
}

}  // namespace

const Family& gpt_oss_family() {
  using enum HfKey::Kind;
  static const Family family{
      .architecture = "gpt-oss",
      .classes = {{"GptOssForCausalLM", "gpt_oss", HfClass::Window::never, 131072, 64, true}},
      .rope_interleaved = false,
      .writes_vocabulary_and_rotary = false,
      .tensors = gpt_oss_tensors(),
      .norms = decoder_norms(),
      .pairs = decoder_pairs(),
      .read_own = &read_gpt_oss,
      .expert_keys = {{"num_local_experts", "expert_count"},
                      {"num_experts_per_tok", "expert_used_count"},
                      {"intermediate_size", "expert_feed_forward_length"}},
      .only_mixtures = true,
      .checked_against = "llama.cpp and transformers",
      .hf = {.quantized = {"mxfp4"},
             .keys = {{"sliding_window", "attention.sliding_window"},
                      {"attention_bias", "", flag, 1},
                      {"swiglu_alpha", "", number, 1.702},
                      {"swiglu_limit", "", number, 7.0}},
             .read_own = &read_hf_gpt_oss,
             .write_own = &write_hf_gpt_oss}};
  return family;
}

}  // namespace carat
