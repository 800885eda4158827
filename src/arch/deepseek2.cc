// DeepSeek-V2, V2.5, V3, R1 and what is built like them (Moonlight, Kimi-K2): latent attention, a few dense
// layers, then experts beside those that every token passes; V3 chooses by sigmoids with corrections, among
// the best groups.
//
// GGUF has two layouts. The older one holds attn_kv_b, from which each head's key and value are computed; the
// newer one its two halves, the keys' transposed, and its metadata say that there is one key-value head, as
// in LatentConfig::absorbed. YaRN scales the scores, not the rotation. (llama.cpp: models/deepseek2.cpp and
// llama-context.cpp; Hugging Face: modeling_deepseek.py) Directories have the older layout and are presented
// in the newer one, as llama.cpp's converter writes it.
#include <cmath>

#include "arch/config_reader.h"
#include "arch/deepseek2_hf.h"
#include "arch/family.h"
#include "arch/model_config.h"
#include "arch/tensor_tables.h"

namespace carat {
namespace {

constexpr int64_t kMost = int64_t{1} << 20;

Status read_attention(const ConfigReader& read, ModelConfig& c) {
  LatentConfig& m = c.latent;
  CARAT_TRY(m.rank, read.count("attention.kv_lora_rank", 1, kMost));
  CARAT_TRY(m.query_rank, read.count("attention.q_lora_rank", 0, kMost, 0));
  m.absorbed = read.has("attention.key_length_mla");
  int64_t key = c.head_dim;
  m.value = c.value_dim;
  if (m.absorbed) {
    CARAT_TRY(key, read.count("attention.key_length_mla", 1, 65536));
    CARAT_TRY(m.value, read.count("attention.value_length_mla", 1, 65536));
  }
  m.plain = key - c.rotary_dim;
  if (m.plain < 1)
    return bad_data("keys of {} dimensions, of which {} are rotated, leave none for {}", key, c.rotary_dim,
                    read.key("attention.kv_lora_rank"));
  if (m.absorbed && (c.head_dim != m.rank + c.rotary_dim || c.kv_heads != 1))
    return bad_data("{} is {} with {} key-value heads; {} and one go with {}",
                    read.key("attention.key_length"), c.head_dim, c.kv_heads, m.rank + c.rotary_dim,
                    read.key("attention.key_length_mla"));
  if (!m.absorbed && (c.kv_heads != c.heads || m.value > c.head_dim))
    return bad_data("{} heads have {} keys and values of {} and {} dimensions, which carat cannot run",
                    c.heads, c.kv_heads, c.head_dim, m.value);
  c.value_dim = c.head_dim;  // values are padded

  CARAT_TRY(const double log_multiplier, read.number("rope.scaling.yarn_log_multiplier", -1e3, 1e3, 0.0));
  double score_scale = 1.0;
  if (c.rope_scaling == RopeScaling::yarn) {
    // The file holds a tenth of what DeepSeek's configuration calls mscale_all_dim; with it, rotations keep
    // their size and both sides of the scores get the factor.
    const double growth = std::log(static_cast<double>(c.rope_factor));
    const double own = 1.0 + 0.1 * growth;
    const double rotation = log_multiplier != 0.0 ? 1.0 : own;
    c.yarn_attention_factor *= static_cast<float>(rotation / own);
    score_scale = rotation * (1.0 + log_multiplier * growth);
  } else if (c.rope_scaling == RopeScaling::linear) {
    return bad_data("{} is linear; carat runs {} with yarn or without scaling", read.key("rope.scaling.type"),
                    c.architecture);
  }
  c.attention_scale = static_cast<float>(score_scale * score_scale / std::sqrt(static_cast<double>(key)));
  return {};
}

Status read_deepseek2(const ConfigReader& read, ModelConfig& c) {
  CARAT_DO(read_attention(read, c));
  ExpertConfig& e = c.experts;
  if (e.count == 0) return {};
  CARAT_TRY(e.first_layer, read.count("leading_dense_block_count", 0, c.layers, 0));
  CARAT_TRY(const int64_t shared, read.count("expert_shared_count", 1, 1024));
  e.shared_feed_forward = shared * e.feed_forward;
  CARAT_TRY(e.normalised, read.flag("expert_weights_norm", false));
  CARAT_TRY(const int64_t routing, read.count("expert_gating_func", 0, 2, 0));
  e.routing = routing == 2 ? Routing::sigmoid : Routing::softmax;
  CARAT_TRY(const int64_t groups, read.count("expert_group_count", 0, e.count, 1));
  if (groups <= 1) return {};
  CARAT_TRY(const int64_t used, read.count("expert_group_used_count", 1, groups));
  const int64_t size = e.count / groups;
  if (e.count % groups != 0 || size < 2 || used * size < e.used)
    return bad_data("{} experts in {} groups, of which {} are used, do not give {} for each token", e.count,
                    groups, used, e.used);
  e.groups = static_cast<int>(groups);
  e.groups_used = static_cast<int>(used);
  return {};
}

constexpr ExpertNames kExperts{.router = "model.layers.{}.mlp.gate.weight",
                               .gate = "model.layers.{}.mlp.experts.{}.gate_proj.weight",
                               .up = "model.layers.{}.mlp.experts.{}.up_proj.weight",
                               .down = "model.layers.{}.mlp.experts.{}.down_proj.weight"};
constexpr ExpertNames kShared{.router = "",
                              .gate = "model.layers.{}.mlp.shared_experts.gate_proj.weight",
                              .up = "model.layers.{}.mlp.shared_experts.up_proj.weight",
                              .down = "model.layers.{}.mlp.shared_experts.down_proj.weight"};

TensorRules deepseek2_tensors() {
  using enum Role;
  using enum Dim;
  TensorRules t =
      with_shared_expert(with_experts(decoder_tensors(Presence::optional, false), kExperts), kShared);
  drop(t, {rope_divisors, query_bias, key_bias, value_bias, Role::query, Role::key, Role::value});
  constexpr Presence asked = Presence::by_config;
  constexpr LayerKind every = LayerKind::every;
  constexpr std::string_view kKeysAndValues = "model.layers.{}.self_attn.kv_b_proj.weight";
  add_to_layers(t, {{router_correction,
                     "blk.{}.exp_probs_b.bias",
                     "model.layers.{}.mlp.gate.e_score_correction_bias",
                     {experts},
                     Presence::optional,
                     LayerKind::mixture},
                    {query,
                     "blk.{}.attn_q.weight",
                     "model.layers.{}.self_attn.q_proj.weight",
                     {latent_queries, width},
                     asked},
                    {query_latent,
                     "blk.{}.attn_q_a.weight",
                     "model.layers.{}.self_attn.q_a_proj.weight",
                     {Dim::query_rank, width},
                     asked},
                    {query_latent_norm,
                     "blk.{}.attn_q_a_norm.weight",
                     "model.layers.{}.self_attn.q_a_layernorm.weight",
                     {Dim::query_rank},
                     asked},
                    {query_expansion,
                     "blk.{}.attn_q_b.weight",
                     "model.layers.{}.self_attn.q_b_proj.weight",
                     {latent_queries, Dim::query_rank},
                     asked},
                    {key_value_latent,
                     "blk.{}.attn_kv_a_mqa.weight",
                     "model.layers.{}.self_attn.kv_a_proj_with_mqa.weight",
                     {Dim::latent_keys, width}},
                    {key_value_latent_norm,
                     "blk.{}.attn_kv_a_norm.weight",
                     "model.layers.{}.self_attn.kv_a_layernorm.weight",
                     {latent_rank}},
                    {key_value_expansion,
                     "blk.{}.attn_kv_b.weight",
                     kKeysAndValues,
                     {latent_keys_and_values, latent_rank},
                     asked},
                    {key_expansion,
                     "blk.{}.attn_k_b.weight",
                     kKeysAndValues,
                     {heads, latent_rank, latent_plain},
                     asked,
                     every,
                     HfForm::latent_keys},
                    {value_expansion,
                     "blk.{}.attn_v_b.weight",
                     kKeysAndValues,
                     {heads, latent_value, latent_rank},
                     asked,
                     every,
                     HfForm::latent_values}});
  return t;
}

}  // namespace

const Family& deepseek2_family() {
  using enum HfKey::Kind;
  using Window = HfClass::Window;
  static const Family family{
      .architecture = "deepseek2",
      .classes = {{"DeepseekV3ForCausalLM", "deepseek_v3", Window::never, 4096, 0, true},
                  {"DeepseekV2ForCausalLM", "deepseek_v2", Window::never, 2048, 0, true}},
      .rope_interleaved = true,
      .writes_vocabulary_and_rotary = true,
      .tensors = deepseek2_tensors(),
      .norms = {{Role::output_norm, {Role::output}}},
      .pairs = {},
      .read_own = &read_deepseek2,
      .expert_keys = {{"n_routed_experts", "expert_count"},
                      {"num_experts_per_tok", "expert_used_count"},
                      {"moe_intermediate_size", "expert_feed_forward_length"},
                      {"n_shared_experts", "expert_shared_count"},
                      {"first_k_dense_replace", "leading_dense_block_count"},
                      {"routed_scaling_factor", "expert_weights_scale", number},
                      {"norm_topk_prob", "expert_weights_norm", flag},
                      {"moe_layer_freq", "", count, 1, 1}},
      .checked_against = "llama.cpp and transformers",
      .hf_rope_interleaved = true,
      .hf = {.quantized = {"fp8"},
             .head_size = "qk_rope_head_dim",
             .keys = {{"attention_bias", "", flag, 0},
                      {"mlp_bias", "", flag, 0},
                      {"rope_interleave", "", flag, 1}},
             .read_own = &read_hf_deepseek2,
             .write_own = &write_hf_deepseek2}};
  return family;
}

}  // namespace carat
