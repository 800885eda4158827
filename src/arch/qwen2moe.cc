// Qwen1.5-MoE and Qwen2-MoE: Qwen2 with experts in every layer, whose weights stay as the softmax gives them,
// and one that every token passes, weighed by a sigmoid (transformers' Qwen2MoeSparseMoeBlock; llama.cpp's
// models/qwen2moe.cpp).
#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/model_config.h"

namespace carat {
namespace {

Status read_qwen2moe(const ConfigReader& read, ModelConfig& c) {
  CARAT_TRY(c.experts.shared_feed_forward,
            read.count("expert_shared_feed_forward_length", 1, int64_t{1} << 23, c.feed_forward));
  c.experts.shared_router = true;
  return {};
}

constexpr ExpertNames kExperts{.router = "model.layers.{}.mlp.gate.weight",
                               .gate = "model.layers.{}.mlp.experts.{}.gate_proj.weight",
                               .up = "model.layers.{}.mlp.experts.{}.up_proj.weight",
                               .down = "model.layers.{}.mlp.experts.{}.down_proj.weight"};
constexpr ExpertNames kShared{.router = "model.layers.{}.mlp.shared_expert_gate.weight",
                              .gate = "model.layers.{}.mlp.shared_expert.gate_proj.weight",
                              .up = "model.layers.{}.mlp.shared_expert.up_proj.weight",
                              .down = "model.layers.{}.mlp.shared_expert.down_proj.weight"};

}  // namespace

const Family& qwen2moe_family() {
  using enum HfKey::Kind;
  static const Family family{
      .architecture = "qwen2moe",
      .classes = {{"Qwen2MoeForCausalLM", "qwen2_moe", HfClass::Window::by_flag, 32768, 0, true}},
      .rope_interleaved = false,
      .writes_vocabulary_and_rotary = false,
      .tensors =
          with_shared_expert(with_experts(decoder_tensors(Presence::required, false), kExperts), kShared),
      .norms = decoder_norms(),
      .pairs = decoder_pairs(),
      .read_own = &read_qwen2moe,
      .expert_keys = {{"num_experts", "expert_count", count, 60},
                      {"num_experts_per_tok", "expert_used_count", count, 4},
                      {"moe_intermediate_size", "expert_feed_forward_length", count, 1408},
                      {"shared_expert_intermediate_size", "expert_shared_feed_forward_length", count, 5632},
                      {"norm_topk_prob", "", flag, 0, 0},
                      {"decoder_sparse_step", "", count, 1, 1},
                      {"mlp_only_layers", "", empty_list}},
      .only_mixtures = true,
      .checked_against = "llama.cpp"};
  return family;
}

}  // namespace carat
