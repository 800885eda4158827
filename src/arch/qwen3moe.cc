// Qwen3-MoE: Qwen3 with experts in every layer, the weights of those a token goes through divided by their
// sum (transformers' Qwen3MoeSparseMoeBlock with norm_topk_prob, which all published models have and GGUF has
// no key for; llama.cpp's models/qwen3moe.cpp).
#include "arch/family.h"
#include "arch/model_config.h"

namespace carat {
namespace {

Status read_qwen3moe(const ConfigReader&, ModelConfig& c) {
  c.experts.normalised = true;
  return {};
}

constexpr ExpertNames kExperts{.router = "model.layers.{}.mlp.gate.weight",
                               .gate = "model.layers.{}.mlp.experts.{}.gate_proj.weight",
                               .up = "model.layers.{}.mlp.experts.{}.up_proj.weight",
                               .down = "model.layers.{}.mlp.experts.{}.down_proj.weight"};

}  // namespace

const Family& qwen3moe_family() {
  using enum HfKey::Kind;
  static const Family family{
      .architecture = "qwen3moe",
      .classes = {{"Qwen3MoeForCausalLM", "qwen3_moe", HfClass::Window::by_flag, 32768, 0, true}},
      .rope_interleaved = false,
      .writes_vocabulary_and_rotary = false,
      .tensors = with_experts(decoder_tensors(Presence::all_or_none, true), kExperts),
      .norms = decoder_norms(),
      .pairs = decoder_pairs(),
      .read_own = &read_qwen3moe,
      .expert_keys = {{"num_experts", "expert_count", count, 128},
                      {"num_experts_per_tok", "expert_used_count", count, 8},
                      {"moe_intermediate_size", "expert_feed_forward_length", count, 768},
                      {"norm_topk_prob", "", flag, 0, 1},
                      {"decoder_sparse_step", "", count, 1, 1},
                      {"mlp_only_layers", "", empty_list}},
      .only_mixtures = true,
      .checked_against = "llama.cpp"};
  return family;
}

}  // namespace carat
