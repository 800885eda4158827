// Which tensor gets what in llama.cpp's file types, so that a name means the same bits per weight in carat as
// there.
//
// Facts from llama_tensor_get_type_impl and tensor_allows_quantization in llama.cpp's src/llama-quant.cpp
// (revision 007dbbf). Its code nests conditions by part and lets later statements overwrite earlier ones;
// here each part is one list, most special first, and the first rule that applies decides. mixes_test.cc
// compares the outcome, tensor by tensor, with files that llama.cpp wrote.
//
// Two of its rules are absent because the fallback table yields the same: "output is Q8_0 where the base does
// not divide its rows" (Q6_K's fallback is Q8_0), and the rules of mixes whose base carat cannot encode.
#include "recipes/mixes.h"

namespace carat {
namespace {

constexpr Mix kMixes[] = {
    {"F32", 0, "F32"},        {"BF16", 32, "BF16"},   {"F16", 1, "F16"},        {"Q8_0", 7, "Q8_0"},
    {"Q6_K", 18, "Q6_K"},     {"Q5_1", 9, "Q5_1"},    {"Q5_K_M", 17, "Q5_K"},   {"Q5_K_S", 16, "Q5_K"},
    {"Q5_0", 8, "Q5_0"},      {"Q4_1", 3, "Q4_1"},    {"Q4_K_M", 15, "Q4_K"},   {"Q4_K_S", 14, "Q4_K"},
    {"IQ4_NL", 25, "IQ4_NL"}, {"Q4_0", 2, "Q4_0"},    {"IQ4_XS", 30, "IQ4_XS"}, {"Q3_K_L", 13, "Q3_K"},
    {"Q3_K_M", 12, "Q3_K"},   {"Q3_K_S", 11, "Q3_K"}, {"Q2_K", 10, "Q2_K"},     {"Q2_K_S", 21, "Q2_K"},
};

constexpr MixAlias kAliases[] = {{"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}};

// Fused projections follow the rules of v, their most sensitive part.
constexpr PartPattern kParts[] = {
    {"token_embd.weight", Part::embedding},
    {"attn_qkv.weight", Part::attn_v},
    {"attn_kv_b.weight", Part::attn_v},
    {"attn_v.weight", Part::attn_v},
    {"attn_k.weight", Part::attn_k},
    {"attn_q.weight", Part::attn_q},
    {"attn_output.weight", Part::attn_output},
    {"ffn_up", Part::ffn_up},
    {"ffn_gate", Part::ffn_gate},
    {"ffn_down", Part::ffn_down},
};

using enum Part;

constexpr MixRule kRules[] = {
    // The output matrix, and the embedding where it serves as the output too.
    {output, "*", falcon, "Q8_0"},
    {output, "Q8_0", always, ""},
    {output, "*", always, "Q6_K"},

    {attn_v, "*", eight_experts, "Q8_0"},
    {attn_v, "Q4_K_M Q5_K_M", sensitive_layers, "Q6_K"},
    {attn_v, "Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M", class_70b, "Q5_K"},
    {attn_v, "Q2_K Q2_K_S", grouped_queries, "Q4_K"},
    {attn_v, "Q2_K", always, "Q3_K"},
    {attn_v, "Q3_K_M", first_2, "Q5_K"},
    {attn_v, "Q3_K_M", always, "Q4_K"},
    {attn_v, "Q3_K_L", always, "Q5_K"},
    {attn_v, "Q4_K_S", first_4, "Q5_K"},
    {attn_v, "IQ4_NL IQ4_XS", grouped_queries, "Q5_K"},

    {attn_k, "*", eight_experts, "Q8_0"},

    {attn_output, "Q3_K_L", falcon, "Q4_K"},
    {attn_output, "*", falcon, ""},
    {attn_output, "Q2_K Q3_K_S Q3_K_M IQ4_NL IQ4_XS Q4_K_S Q4_K_M", eight_experts, "Q5_K"},
    {attn_output, "*", eight_experts, ""},
    {attn_output, "Q2_K", always, "Q3_K"},
    {attn_output, "Q3_K_M", always, "Q4_K"},
    {attn_output, "Q3_K_L", always, "Q5_K"},

    {ffn_down, "Q2_K", always, "Q3_K"},
    {ffn_down, "Q2_K_S", first_eighth, "Q4_K"},
    {ffn_down, "Q3_K_M", first_sixteenth, "Q5_K"},
    {ffn_down, "Q3_K_M", falcon | sensitive_layers, "Q4_K"},
    {ffn_down, "Q3_K_M", falcon, ""},
    {ffn_down, "Q3_K_M", always, "Q4_K"},
    {ffn_down, "Q3_K_L", falcon, "Q4_K"},
    {ffn_down, "Q3_K_L", always, "Q5_K"},
    {ffn_down, "Q4_K_M", falcon | first_sixteenth, "Q6_K"},
    {ffn_down, "Q4_K_M", falcon | sensitive_layers, "Q5_K"},
    {ffn_down, "Q4_K_M", falcon, ""},
    {ffn_down, "Q4_K_M Q5_K_M", sensitive_layers, "Q6_K"},
    {ffn_down, "Q4_K_S", falcon, ""},
    {ffn_down, "Q4_K_S", first_eighth, "Q5_K"},
    {ffn_down, "IQ4_NL IQ4_XS", uncalibrated | first_eighth, "Q5_K"},
    {ffn_down, "Q4_0", calibrated | first_eighth, "Q4_1"},
    {ffn_down, "Q5_0", calibrated | first_eighth, "Q5_1"},
};

constexpr KeptTensor kKept[] = {
    {"_norm.weight", "normalization gains", true},
    {"ffn_gate_inp.weight", "the experts' router", true},
    {"ffn_gate_tid2eid.weight", "the experts' router", true},
    {"position_embd.weight", "position embeddings", true},
    {"token_types.weight", "token type embeddings", true},
    {"ssm_conv1d", "a short convolution", true},
    {"shortconv.conv.weight", "a short convolution", true},
    {"time_mix_first.weight", "RWKV's small matrices", true},
    {"time_mix_w0.weight", "RWKV's small matrices", true},
    {"time_mix_w1.weight", "RWKV's small matrices", true},
    {"time_mix_w2.weight", "RWKV's small matrices", true},
    {"time_mix_v0.weight", "RWKV's small matrices", true},
    {"time_mix_v1.weight", "RWKV's small matrices", true},
    {"time_mix_v2.weight", "RWKV's small matrices", true},
    {"time_mix_a0.weight", "RWKV's small matrices", true},
    {"time_mix_a1.weight", "RWKV's small matrices", true},
    {"time_mix_a2.weight", "RWKV's small matrices", true},
    {"time_mix_g1.weight", "RWKV's small matrices", true},
    {"time_mix_g2.weight", "RWKV's small matrices", true},
    {"time_mix_decay_w1.weight", "RWKV's small matrices", true},
    {"time_mix_decay_w2.weight", "RWKV's small matrices", true},
    {"time_mix_lerp_fused.weight", "RWKV's small matrices", true},
    {"attn_rel_b.weight", "relative position biases", true},
    {"altup", "per-layer input mixing", false},
    {"laurel", "per-layer input mixing", false},
    {"per_layer_model_proj", "per-layer input mixing", false},
    {"indexer.k_proj.weight", "the attention indexer", false},
    {"indexer.q_proj.weight", "the attention indexer", false},
    {".position_embd", "part of an image or audio encoder", false},
    {"sam.", "part of an image or audio encoder", false},
    {".rel_pos", "part of an image or audio encoder", false},
    {".patch_embd", "part of an image or audio encoder", false},
    {".patch_merger", "part of an image or audio encoder", false},
    {"a.rvq.codebook", "part of an image or audio encoder", false},
    {"mm.a.code_embd", "part of an image or audio encoder", false},
};

constexpr Fallback kFallbacks[] = {
    {"IQ4_XS", "IQ4_NL"}, {"Q2_K", "Q4_0"}, {"Q3_K", "Q4_0"},
    {"Q4_K", "Q5_0"},     {"Q5_K", "Q5_1"}, {"Q6_K", "Q8_0"},
};

}  // namespace

std::span<const Mix> all_mixes() { return kMixes; }
std::span<const MixAlias> mix_aliases() { return kAliases; }
std::span<const PartPattern> part_patterns() { return kParts; }
std::span<const MixRule> mix_rules() { return kRules; }
std::span<const KeptTensor> kept_tensors() { return kKept; }
std::span<const Fallback> fallbacks() { return kFallbacks; }

std::string_view part_name(Part part) {
  constexpr std::string_view kNames[] = {"output",      "embedding", "attn_v",   "attn_k",   "attn_q",
                                         "attn_output", "ffn_up",    "ffn_gate", "ffn_down", "other"};
  return kNames[static_cast<size_t>(part)];
}

}  // namespace carat
