#include "arch/family.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace carat {

// The one list. Each name is a function `const Family& NAME_family()` in a file of that name.
#define CARAT_FAMILIES(X) \
  X(command_r)            \
  X(deepseek2)            \
  X(falcon)               \
  X(gemma2)               \
  X(gemma3)               \
  X(glm4)                 \
  X(gpt2)                 \
  X(gpt_oss)              \
  X(granite)              \
  X(llama)                \
  X(olmo2)                \
  X(phi3)                 \
  X(qwen2)                \
  X(qwen2moe)             \
  X(qwen3)                \
  X(qwen3moe)             \
  X(starcoder2)

#define CARAT_DECLARE(name) const Family& name##_family();
CARAT_FAMILIES(CARAT_DECLARE)
#undef CARAT_DECLARE

std::span<const Family* const> all_families() {
#define CARAT_LIST(name) &name##_family(),
  static const Family* const families[] = {CARAT_FAMILIES(CARAT_LIST)};
#undef CARAT_LIST
  return families;
}

const Family* find_family(std::string_view architecture) {
  for (const Family* family : all_families())
    if (family->architecture == architecture) return family;
  return nullptr;
}

const Family* find_family_of_class(std::string_view class_name, const HfClass** hf_class) {
  for (const Family* family : all_families())
    for (const HfClass& c : family->classes)
      if (c.name == class_name) {
        if (hf_class) *hf_class = &c;
        return family;
      }
  return nullptr;
}

std::string architecture_names() {
  std::vector<std::string_view> names;
  for (const Family* family : all_families()) names.push_back(family->architecture);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string hf_class_names() {
  std::vector<std::string_view> names;
  for (const Family* family : all_families())
    for (const HfClass& c : family->classes) names.push_back(c.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

namespace {
std::string with_layer(std::string_view pattern, int64_t layer) {
  const size_t at = pattern.find("{}");
  if (at == std::string_view::npos) return std::string(pattern);
  return fmt::format("{}{}{}", pattern.substr(0, at), layer, pattern.substr(at + 2));
}
}  // namespace

std::string TensorRule::gguf_name(int64_t layer) const { return with_layer(gguf, layer); }
std::string TensorRule::hf_name(int64_t layer, int64_t expert) const {
  return with_layer(with_layer(hf, layer), expert);
}
std::string TensorRule::hf_also_name(int64_t layer) const { return with_layer(hf_also, layer); }

const TensorRule* Family::rule(Role role) const {
  for (const TensorRule& r : tensors)
    if (r.role == role) return &r;
  return nullptr;
}

// The order is that of llama.cpp's converter: Hugging Face names sorted within a layer, but layers by number.
std::vector<TensorRule> decoder_tensors(Presence qkv_bias, bool qk_norm) {
  using enum Role;
  using enum Presence;
  std::vector<TensorRule> t;
  t.push_back({rope_divisors, "rope_freqs.weight", "", {Dim::half_rotary}, optional});
  t.push_back(
      {token_embedding, "token_embd.weight", "model.embed_tokens.weight", {Dim::vocabulary, Dim::width}});
  t.push_back(
      {attention_norm, "blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight", {Dim::width}});
  t.push_back({down,
               "blk.{}.ffn_down.weight",
               "model.layers.{}.mlp.down_proj.weight",
               {Dim::width, Dim::feed_forward}});
  t.push_back({gate,
               "blk.{}.ffn_gate.weight",
               "model.layers.{}.mlp.gate_proj.weight",
               {Dim::feed_forward, Dim::width}});
  t.push_back(
      {up, "blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight", {Dim::feed_forward, Dim::width}});
  t.push_back({feed_forward_norm,
               "blk.{}.ffn_norm.weight",
               "model.layers.{}.post_attention_layernorm.weight",
               {Dim::width}});
  if (qk_norm)
    t.push_back(
        {key_norm, "blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_norm.weight", {Dim::head}});
  t.push_back(
      {key_bias, "blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias", {Dim::keys}, qkv_bias});
  t.push_back(
      {key, "blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight", {Dim::keys, Dim::width}});
  t.push_back({attention_output,
               "blk.{}.attn_output.weight",
               "model.layers.{}.self_attn.o_proj.weight",
               {Dim::width, Dim::mixed_values}});
  if (qk_norm)
    t.push_back(
        {query_norm, "blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_norm.weight", {Dim::head}});
  t.push_back(
      {query_bias, "blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias", {Dim::queries}, qkv_bias});
  t.push_back(
      {query, "blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight", {Dim::queries, Dim::width}});
  t.push_back(
      {value_bias, "blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias", {Dim::values}, qkv_bias});
  t.push_back(
      {value, "blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight", {Dim::values, Dim::width}});
  t.push_back({output_norm, "output_norm.weight", "model.norm.weight", {Dim::width}});
  t.push_back({output, "output.weight", "lm_head.weight", {Dim::vocabulary, Dim::width}, optional});
  return t;
}

std::vector<TensorRule> with_experts(std::vector<TensorRule> t, const ExpertNames& hf) {
  using enum Role;
  for (TensorRule& rule : t)
    if (rule.role == gate || rule.role == up || rule.role == down) rule.layers = LayerKind::dense;
  const auto add = [&](Role role, std::string_view gguf, std::string_view name, std::vector<Dim> shape) {
    const auto norm =
        std::find_if(t.begin(), t.end(), [](const auto& r) { return r.role == feed_forward_norm; });
    t.insert(norm, {role, gguf, name, std::move(shape), Presence::required, LayerKind::mixture});
  };
  add(router, "blk.{}.ffn_gate_inp.weight", hf.router, {Dim::experts, Dim::width});
  add(gate_experts, "blk.{}.ffn_gate_exps.weight", hf.gate,
      {Dim::experts, Dim::expert_feed_forward, Dim::width});
  add(down_experts, "blk.{}.ffn_down_exps.weight", hf.down,
      {Dim::experts, Dim::width, Dim::expert_feed_forward});
  add(up_experts, "blk.{}.ffn_up_exps.weight", hf.up, {Dim::experts, Dim::expert_feed_forward, Dim::width});
  return t;
}

std::vector<TensorRule> with_shared_expert(std::vector<TensorRule> t, const ExpertNames& hf) {
  using enum Role;
  const auto add = [&](Role role, std::string_view gguf, std::string_view name, std::vector<Dim> shape) {
    const auto norm =
        std::find_if(t.begin(), t.end(), [](const auto& r) { return r.role == feed_forward_norm; });
    t.insert(norm, {role, gguf, name, std::move(shape), Presence::required, LayerKind::mixture});
  };
  add(shared_gate, "blk.{}.ffn_gate_shexp.weight", hf.gate, {Dim::shared_feed_forward, Dim::width});
  add(shared_down, "blk.{}.ffn_down_shexp.weight", hf.down, {Dim::width, Dim::shared_feed_forward});
  add(shared_up, "blk.{}.ffn_up_shexp.weight", hf.up, {Dim::shared_feed_forward, Dim::width});
  if (!hf.router.empty()) add(shared_router, "blk.{}.ffn_gate_inp_shexp.weight", hf.router, {Dim::width});
  return t;
}

std::vector<NormReaders> decoder_norms() {
  using enum Role;
  return {{attention_norm, {query, key, value}}, {feed_forward_norm, {gate, up}}, {output_norm, {output}}};
}

std::vector<ChannelPair> decoder_pairs() {
  using enum Role;
  return {{value, value_bias, value, attention_output, true}, {up, up, gate, down, false}};
}

}  // namespace carat
