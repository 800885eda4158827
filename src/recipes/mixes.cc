// Which tensor gets what in llama.cpp's file types, so that a name means the same bits per weight in carat as
// there.
//
// Facts from llama_tensor_get_type_impl and tensor_allows_quantization in llama.cpp's src/llama-quant.cpp
// (revision 007dbbf). Its code nests conditions by part and lets later statements overwrite earlier ones;
// here each part is one list, most special first, and the first rule that applies decides. mixes_test.cc
// compares the outcome, tensor by tensor, with files that llama.cpp wrote.
//
// MXFP4 and NVFP4, for every matrix, are no choices of llama-quantize, but file types of llama.cpp.
//
// One of its rules is absent because the fallback table yields the same: "output is Q8_0 where the base does
// not divide its rows" (Q6_K's fallback is Q8_0).
#include "recipes/mixes.h"

namespace carat {
namespace {

constexpr Mix kMixes[] = {
    {"F32", 0, "F32"},          {"BF16", 32, "BF16"},    {"F16", 1, "F16"},
    {"Q8_0", 7, "Q8_0"},        {"Q6_K", 18, "Q6_K"},    {"Q5_1", 9, "Q5_1"},
    {"Q5_K_M", 17, "Q5_K"},     {"Q5_K_S", 16, "Q5_K"},  {"Q5_0", 8, "Q5_0"},
    {"Q4_1", 3, "Q4_1"},        {"Q4_K_M", 15, "Q4_K"},  {"Q4_K_S", 14, "Q4_K"},
    {"IQ4_NL", 25, "IQ4_NL"},   {"Q4_0", 2, "Q4_0"},     {"IQ4_XS", 30, "IQ4_XS"},
    {"Q3_K_L", 13, "Q3_K"},     {"Q3_K_M", 12, "Q3_K"},  {"IQ3_M", 27, "IQ3_S"},
    {"IQ3_S", 26, "IQ3_S"},     {"Q3_K_S", 11, "Q3_K"},  {"IQ3_XS", 22, "IQ3_S"},
    {"IQ3_XXS", 23, "IQ3_XXS"}, {"Q2_K", 10, "Q2_K"},    {"Q2_K_S", 21, "Q2_K"},
    {"IQ2_M", 29, "IQ2_S"},     {"IQ2_S", 28, "IQ2_XS"}, {"IQ2_XS", 20, "IQ2_XS"},
    {"IQ2_XXS", 19, "IQ2_XXS"}, {"IQ1_M", 31, "IQ1_M"},  {"IQ1_S", 24, "IQ1_S"},
    {"TQ2_0", 37, "TQ2_0"},     {"TQ1_0", 36, "TQ1_0"},  {"MXFP4_MOE", 38, "Q8_0"},
    {"MXFP4", 38, "MXFP4"},     {"NVFP4", 39, "NVFP4"},
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

/// Mixes below 3 bits, of which none of the other mixes' rules speaks.
constexpr std::string_view kLow = "IQ2_M IQ2_S IQ2_XS IQ2_XXS IQ1_M IQ1_S";

constexpr MixRule kRules[] = {
    // The output matrix, and the embedding where it serves as the output too.
    {output, "*", falcon, "Q8_0"},
    {output, "*", ragged, "Q6_K"},  // whose fallback is Q8_0
    {output, "IQ3_XXS", always, "Q5_K"},
    {output, kLow, always, "Q5_K"},
    {output, "Q8_0 MXFP4_MOE", always, ""},
    {output, "*", always, "Q6_K"},

    {embedding, "IQ2_M IQ2_S IQ3_XXS", always, "IQ3_S"},
    {embedding, kLow, always, "Q2_K"},
    {embedding, "TQ1_0 TQ2_0", always, "Q4_K"},

    {attn_v, kLow, grouped_queries, "Q4_K"},
    {attn_v, kLow, four_experts, "Q4_K"},
    {attn_v, "IQ2_M IQ2_S", always, "IQ3_S"},
    {attn_v, kLow, always, "Q2_K"},
    {attn_k, kLow, eight_experts, "Q4_K"},
    {attn_k, kLow, always, ""},
    {attn_output, kLow, eight_experts, "Q5_K"},
    {attn_output, "IQ2_M IQ2_S", always, "IQ3_S"},
    {attn_output, "IQ1_M IQ1_S", always, "IQ2_XXS"},
    {attn_output, kLow, always, ""},
    {ffn_down, "IQ2_M IQ2_S", first_eighth, "IQ3_S"},
    {ffn_down, kLow, first_eighth, "Q2_K"},
    {ffn_down, kLow, always, ""},

    {attn_v, "*", eight_experts, "Q8_0"},
    {attn_v, "Q4_K_M Q5_K_M", sensitive_layers, "Q6_K"},
    {attn_v, "Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M", class_70b, "Q5_K"},
    {attn_v, "IQ3_M", class_70b, "Q5_K"},
    {attn_v, "IQ3_S IQ3_XS IQ3_XXS", class_70b | grouped_queries, "Q5_K"},
    {attn_v, "Q2_K Q2_K_S IQ3_S IQ3_XS IQ3_XXS", grouped_queries, "Q4_K"},
    {attn_v, "IQ3_M", always, "Q4_K"},
    {attn_v, "IQ3_XXS", uncalibrated, "IQ3_S"},
    {attn_v, "Q2_K", always, "Q3_K"},
    {attn_v, "Q3_K_M", first_2, "Q5_K"},
    {attn_v, "Q3_K_M", always, "Q4_K"},
    {attn_v, "Q3_K_L", always, "Q5_K"},
    {attn_v, "Q4_K_S", first_4, "Q5_K"},
    {attn_v, "IQ4_NL IQ4_XS", grouped_queries, "Q5_K"},

    {attn_k, "*", eight_experts, "Q8_0"},
    {attn_k, "IQ3_XS", always, "IQ3_XXS"},
    {attn_k, "IQ3_XXS", always, "IQ2_S"},

    {attn_q, "IQ3_XS", always, "IQ3_XXS"},
    {attn_q, "IQ3_XXS", always, "IQ2_S"},

    {attn_output, "Q3_K_L", falcon, "Q4_K"},
    {attn_output, "*", falcon, ""},
    {attn_output, "Q2_K IQ3_XXS IQ3_XS IQ3_S IQ3_M Q3_K_S Q3_K_M IQ4_NL IQ4_XS Q4_K_S Q4_K_M", eight_experts,
     "Q5_K"},
    {attn_output, "*", eight_experts, ""},
    {attn_output, "Q2_K", always, "Q3_K"},
    {attn_output, "IQ3_XXS", always, "IQ3_S"},
    {attn_output, "IQ3_M Q3_K_M", always, "Q4_K"},
    {attn_output, "Q3_K_L", always, "Q5_K"},

    {ffn_gate, "MXFP4_MOE", stacked, "MXFP4"},
    {ffn_up, "MXFP4_MOE", stacked, "MXFP4"},

    {ffn_down, "MXFP4_MOE", stacked, "MXFP4"},
    {ffn_down, "Q2_K", always, "Q3_K"},
    {ffn_down, "Q2_K_S", first_eighth, "Q4_K"},
    {ffn_down, "IQ3_XXS", uncalibrated | first_eighth, "Q4_K"},
    {ffn_down, "IQ3_XXS", uncalibrated, "Q3_K"},
    {ffn_down, "IQ3_M", first_eighth, "Q4_K"},
    {ffn_down, "IQ3_M", eight_experts | sensitive_layers, "Q4_K"},
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

    {ffn_gate, "IQ3_XS", middle_layers, "IQ3_XXS"},
    {ffn_up, "IQ3_XS", middle_layers, "IQ3_XXS"},
};

// tensor_requires_imatrix of the same file.
constexpr ImportanceNeed kNeeds[] = {
    {"IQ3_XXS", "*"}, {"IQ2_S", "*"}, {"IQ2_XS", "*"},    {"IQ2_XXS", "*"},
    {"IQ1_M", "*"},   {"IQ1_S", "*"}, {"Q2_K", "Q2_K_S"},
};

// Llama-3-8B on wikitext-2 with an importance matrix (llama.cpp, examples/perplexity/README.md, f364eb6f); of
// F16 the perplexity is 6.2332.
constexpr KnownLoss kLosses[] = {
    {"Q3_K_L", 6.671, 0.073},   {"Q3_K_M", 6.734, 0.084}, {"IQ3_M", 6.898, 0.103},
    {"IQ3_S", 6.966, 0.111},    {"IQ3_XS", 7.163, 0.139}, {"IQ3_XXS", 7.458, 0.184},
    {"Q3_K_S", 7.603, 0.200},   {"IQ2_M", 8.601, 0.326},  {"Q2_K", 8.648, 0.332},
    {"Q2_K_S", 9.324, 0.403},   {"IQ2_S", 9.651, 0.439},  {"IQ2_XS", 10.761, 0.546},
    {"IQ2_XXS", 14.092, 0.812}, {"IQ1_M", 25.494, 1.393}, {"IQ1_S", 58.098, 2.211},
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
    {"IQ4_XS", "IQ4_NL"}, {"IQ3_S", "IQ4_NL"},   {"IQ3_XXS", "IQ4_NL"}, {"IQ2_S", "IQ4_NL"},
    {"IQ2_XS", "IQ4_NL"}, {"IQ2_XXS", "IQ4_NL"}, {"IQ1_M", "IQ4_NL"},   {"IQ1_S", "IQ4_NL"},
    {"Q2_K", "Q4_0"},     {"Q3_K", "Q4_0"},      {"Q4_K", "Q5_0"},      {"Q5_K", "Q5_1"},
    {"Q6_K", "Q8_0"},     {"TQ1_0", "Q4_0"},     {"TQ2_0", "Q4_0"},
};

}  // namespace

std::span<const Mix> all_mixes() { return kMixes; }
std::span<const MixAlias> mix_aliases() { return kAliases; }
std::span<const PartPattern> part_patterns() { return kParts; }
std::span<const MixRule> mix_rules() { return kRules; }
std::span<const ImportanceNeed> importance_needs() { return kNeeds; }
std::span<const KnownLoss> known_losses() { return kLosses; }
std::span<const KeptTensor> kept_tensors() { return kKept; }
std::span<const Fallback> fallbacks() { return kFallbacks; }

std::string_view part_name(Part part) {
  constexpr std::string_view kNames[] = {"output",      "embedding", "attn_v",   "attn_k",   "attn_q",
                                         "attn_output", "ffn_up",    "ffn_gate", "ffn_down", "other"};
  return kNames[static_cast<size_t>(part)];
}

}  // namespace carat
