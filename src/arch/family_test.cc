// The families' tables, and config.json files as published: what they must become in GGUF.
#include "arch/family.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "arch/hf_config.h"

namespace carat {
namespace {

TEST(Families, TablesAreConsistent) {
  for (const Family* family : all_families()) {
    SCOPED_TRACE(family->architecture);
    EXPECT_EQ(find_family(family->architecture), family);
    std::set<std::string> gguf, hf;
    std::set<Role> roles;
    for (const TensorRule& rule : family->tensors) {
      EXPECT_TRUE(roles.insert(rule.role).second);
      EXPECT_TRUE(gguf.insert(rule.gguf_name(12)).second);
      EXPECT_EQ(rule.gguf_name(12).find("{}"), std::string::npos);
      EXPECT_LT(rule.gguf_name(99999).size(), 64u);  // ggml's limit
      if (rule.hf.empty()) continue;
      // Parts of one tensor have forms.
      const bool inserted = hf.insert(rule.hf_name(12, 3)).second;
      EXPECT_TRUE(inserted || rule.form != HfForm::same);
      EXPECT_EQ(rule.hf_name(12, 3).find("{}"), std::string::npos);
      EXPECT_EQ(rule.hf.find("{}") != std::string_view::npos, rule.per_layer());
      EXPECT_EQ(rule.per_expert(), rule.shape.size() == 3 && rule.form == HfForm::same);
    }
    for (const NormReaders& group : family->norms) {
      ASSERT_NE(family->rule(group.norm), nullptr);
      for (const Role reader : group.readers) EXPECT_EQ(family->rule(reader)->shape.back(), Dim::width);
    }
    for (const ChannelPair& pair : family->pairs) {
      EXPECT_NE(family->rule(pair.producer), nullptr);
      EXPECT_NE(family->rule(pair.consumer), nullptr);
    }
    for (const HfClass& c : family->classes) {
      const HfClass* found = nullptr;
      EXPECT_EQ(find_family_of_class(c.name, &found), family);
      EXPECT_EQ(found, &c);
    }
  }
  EXPECT_EQ(find_family("mamba"), nullptr);
  EXPECT_EQ(find_family_of_class("MambaForCausalLM", nullptr), nullptr);
}

struct Published {
  const char* name;
  const char* config;
  const char* architecture;
  std::vector<std::pair<std::string, double>> numbers;
  bool tied;
  int64_t head_dim;
  float last_divisor;  ///< 0: none
};

// Shortened to what matters; the values are those of the models' own files.
const Published kPublished[] = {
    {"SmolLM2-135M-Instruct",
     R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 1, "eos_token_id": 2,
         "hidden_act": "silu", "hidden_size": 576, "intermediate_size": 1536, "is_llama_config": true,
         "max_position_embeddings": 8192, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 9,
         "num_hidden_layers": 30, "num_key_value_heads": 3, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
         "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000, "tie_word_embeddings": true,
         "torch_dtype": "bfloat16", "vocab_size": 49152})",
     "llama",
     {{"block_count", 30},
      {"context_length", 8192},
      {"embedding_length", 576},
      {"feed_forward_length", 1536},
      {"attention.head_count", 9},
      {"attention.head_count_kv", 3},
      {"rope.freq_base", 100000}},
     true,
     64,
     0},
    {"Llama-3.2-1B",
     R"({"architectures": ["LlamaForCausalLM"], "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048,
         "intermediate_size": 8192, "max_position_embeddings": 131072, "model_type": "llama",
         "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
         "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                          "original_max_position_embeddings": 8192, "rope_type": "llama3"},
         "rope_theta": 500000.0, "tie_word_embeddings": true, "vocab_size": 128256})",
     "llama",
     {{"block_count", 16},
      {"attention.key_length", 64},
      {"attention.value_length", 64},
      {"context_length", 131072}},
     true,
     64,
     32.0f},
    {"Mistral-7B-v0.1",
     R"({"architectures": ["MistralForCausalLM"], "hidden_act": "silu", "hidden_size": 4096,
         "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
         "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
         "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": false, "vocab_size": 32000})",
     "llama",
     {{"attention.sliding_window", 4096}, {"feed_forward_length", 14336}},
     false,
     128,
     0},
    {"Qwen2.5-7B-Instruct with its card's yarn",
     R"({"architectures": ["Qwen2ForCausalLM"], "hidden_act": "silu", "hidden_size": 3584,
         "intermediate_size": 18944, "max_position_embeddings": 32768, "max_window_layers": 28,
         "model_type": "qwen2", "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4,
         "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 131072, "tie_word_embeddings": false,
         "use_sliding_window": false, "vocab_size": 152064,
         "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"}})",
     "qwen2",
     {{"rope.scaling.factor", 4}, {"rope.scaling.original_context_length", 32768}, {"rope.freq_base", 1e6}},
     false,
     128,
     0},
    {"Qwen3-0.6B",
     R"({"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "head_dim": 128, "hidden_act": "silu",
         "hidden_size": 1024, "intermediate_size": 3072, "max_position_embeddings": 40960,
         "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28,
         "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000,
         "sliding_window": null, "tie_word_embeddings": true, "use_sliding_window": false,
         "vocab_size": 151936})",
     "qwen3",
     {{"attention.key_length", 128}, {"attention.head_count", 16}, {"attention.head_count_kv", 8}},
     true,
     128,
     0},
};

// Of families whose directories are read only.
const Published kOthers[] = {
    {"gemma-2-2b",
     R"({"architectures": ["Gemma2ForCausalLM"], "attention_bias": false, "attn_logit_softcapping": 50.0,
         "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
         "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "intermediate_size": 9216,
         "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8,
         "num_hidden_layers": 26, "num_key_value_heads": 4, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
         "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": true, "vocab_size": 256000})",
     "gemma2",
     {{"attn_logit_softcapping", 50}, {"final_logit_softcapping", 30}, {"attention.sliding_window", 4096}},
     true,
     256,
     0},
    {"gemma-3-270m",
     R"({"architectures": ["Gemma3ForCausalLM"], "_sliding_window_pattern": 6, "attn_logit_softcapping": null,
         "final_logit_softcapping": null, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
         "hidden_size": 640, "intermediate_size": 2048, "layer_types": ["sliding_attention", "sliding_attention",
         "sliding_attention", "sliding_attention", "sliding_attention", "full_attention"],
         "max_position_embeddings": 32768, "model_type": "gemma3_text", "num_attention_heads": 4,
         "num_hidden_layers": 6, "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
         "rope_local_base_freq": 10000.0, "rope_scaling": null, "rope_theta": 1000000.0, "sliding_window": 512,
         "tie_word_embeddings": true, "vocab_size": 262144})",
     "gemma3",
     {{"attention.key_length", 256}, {"attention.sliding_window", 512}, {"rope.freq_base", 1e6}},
     true,
     256,
     0},
    {"granite-3, shortened",
     R"({"architectures": ["GraniteForCausalLM"], "attention_multiplier": 0.015625, "embedding_multiplier": 12.0,
         "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192, "logits_scaling": 8.0,
         "max_position_embeddings": 131072, "model_type": "granite", "num_attention_heads": 32,
         "num_hidden_layers": 40, "num_key_value_heads": 8, "residual_multiplier": 0.25, "rms_norm_eps": 1e-05,
         "rope_theta": 10000000.0, "tie_word_embeddings": true, "vocab_size": 49155})",
     "granite",
     {{"attention.scale", 0.015625}, {"embedding_scale", 12}, {"residual_scale", 0.25}, {"logit_scale", 8}},
     true,
     64,
     0},
    {"a part of heads, and an attention factor that is not said",
     R"({"architectures": ["Phi3ForCausalLM"], "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 128,
         "max_position_embeddings": 131072, "model_type": "phi3", "num_attention_heads": 4,
         "num_hidden_layers": 2, "num_key_value_heads": 2, "original_max_position_embeddings": 4096,
         "partial_rotary_factor": 0.25, "rms_norm_eps": 1e-05, "rope_scaling": {"long_factor": [1.5, 3.0],
         "short_factor": [1.0, 1.25], "type": "longrope"}, "rope_theta": 10000.0, "sliding_window": 262144,
         "tie_word_embeddings": false, "vocab_size": 100})",
     "phi3",
     {{"rope.dimension_count", 4},
      {"rope.scaling.original_context_length", 4096},
      {"rope.scaling.attn_factor", 1.1902380942345}},  // sqrt(1 + ln 32 / ln 4096), as for Phi-3.5
     false,
     16,
     0},
    {"falcon-7b",
     R"({"alibi": false, "architectures": ["FalconForCausalLM"], "bias": false, "hidden_size": 4544,
         "layer_norm_epsilon": 1e-05, "model_type": "falcon", "multi_query": true,
         "new_decoder_architecture": false, "num_attention_heads": 71, "num_hidden_layers": 32,
         "num_kv_heads": 71, "parallel_attn": true, "vocab_size": 65024})",
     "falcon",
     {{"attention.head_count_kv", 1}, {"context_length", 2048}, {"feed_forward_length", 18176}},
     false,
     64,
     0},
    {"gpt2",
     R"({"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "layer_norm_epsilon": 1e-05,
         "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
         "vocab_size": 50257})",
     "gpt2",
     {{"context_length", 1024}, {"feed_forward_length", 3072}, {"attention.head_count", 12}},
     false,
     64,
     0},
    {"gpt-oss-20b",
     R"({"architectures": ["GptOssForCausalLM"], "attention_bias": true, "eos_token_id": 200002,
         "experts_per_token": 4, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2880,
         "initial_context_length": 4096, "intermediate_size": 2880,
         "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention",
                         "sliding_attention", "full_attention", "sliding_attention", "full_attention",
                         "sliding_attention", "full_attention", "sliding_attention", "full_attention",
                         "sliding_attention", "full_attention", "sliding_attention", "full_attention",
                         "sliding_attention", "full_attention", "sliding_attention", "full_attention",
                         "sliding_attention", "full_attention", "sliding_attention", "full_attention"],
         "max_position_embeddings": 131072, "model_type": "gpt_oss", "num_attention_heads": 64,
         "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 8, "num_local_experts": 32,
         "quantization_config": {"modules_to_not_convert": ["lm_head"], "quant_method": "mxfp4"},
         "rms_norm_eps": 1e-05, "rope_scaling": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0,
         "original_max_position_embeddings": 4096, "rope_type": "yarn", "truncate": false},
         "rope_theta": 150000, "sliding_window": 128, "swiglu_limit": 7.0, "tie_word_embeddings": false,
         "torch_dtype": "bfloat16", "vocab_size": 201088})",
     "gpt-oss",
     {{"expert_count", 32},
      {"expert_used_count", 4},
      {"expert_feed_forward_length", 2880},
      {"attention.sliding_window", 128},
      {"attention.key_length", 64},
      {"rope.freq_base", 150000},
      {"rope.scaling.factor", 32},
      {"rope.scaling.original_context_length", 4096}},
     false,
     64,
     0},
    {"DeepSeek-V3",
     R"({"architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "ep_size": 1,
         "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168, "intermediate_size": 18432,
         "kv_lora_rank": 512, "max_position_embeddings": 163840, "model_type": "deepseek_v3",
         "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256,
         "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8,
         "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 1,
         "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
         "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
         "weight_block_size": [128, 128]}, "rms_norm_eps": 1e-06, "rope_scaling": {"beta_fast": 32,
         "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
         "original_max_position_embeddings": 4096, "type": "yarn"}, "rope_theta": 10000,
         "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": false,
         "topk_group": 4, "topk_method": "noaux_tc", "v_head_dim": 128, "vocab_size": 129280})",
     "deepseek2",
     {{"attention.head_count", 128},
      {"attention.head_count_kv", 1},
      {"attention.key_length", 576},
      {"attention.value_length", 512},
      {"attention.key_length_mla", 192},
      {"attention.value_length_mla", 128},
      {"attention.q_lora_rank", 1536},
      {"attention.kv_lora_rank", 512},
      {"expert_count", 256},
      {"expert_used_count", 8},
      {"expert_shared_count", 1},
      {"expert_feed_forward_length", 2048},
      {"expert_gating_func", 2},
      {"expert_group_count", 8},
      {"expert_group_used_count", 4},
      {"expert_weights_scale", 2.5},
      {"leading_dense_block_count", 3},
      {"rope.scaling.factor", 40},
      {"rope.scaling.yarn_log_multiplier", 0.1}},
     false,
     64,
     0},
    {"DeepSeek-V2-Lite",
     R"({"architectures": ["DeepseekV2ForCausalLM"], "attention_bias": false, "aux_loss_alpha": 0.001,
         "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 10944,
         "kv_lora_rank": 512, "max_position_embeddings": 163840, "model_type": "deepseek_v2",
         "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 64,
         "n_shared_experts": 2, "norm_topk_prob": false, "num_attention_heads": 16, "num_experts_per_tok": 6,
         "num_hidden_layers": 27, "num_key_value_heads": 16, "q_lora_rank": null, "qk_nope_head_dim": 128,
         "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_scaling": {"beta_fast": 32, "beta_slow": 1,
         "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096,
         "type": "yarn"}, "rope_theta": 10000, "routed_scaling_factor": 1.0, "scoring_func": "softmax",
         "tie_word_embeddings": false, "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16",
         "v_head_dim": 128, "vocab_size": 102400})",
     "deepseek2",
     {{"attention.key_length", 576},
      {"expert_gating_func", 1},
      {"expert_shared_count", 2},
      {"expert_weights_scale", 1},
      {"rope.scaling.yarn_log_multiplier", 0.0707}},
     false,
     64,
     0},
};

TEST(Families, ConfigsOfOtherFamilies) {
  for (const Published& p : kOthers) {
    SCOPED_TRACE(p.name);
    const auto c = read_hf_config(p.config);
    ASSERT_TRUE(c.ok()) << c.error().message;
    EXPECT_EQ(c->family->architecture, p.architecture);
    EXPECT_EQ(c->tied.value_or(false), p.tied);
    EXPECT_EQ(c->head_dim, p.head_dim);
    for (const auto& [key, value] : p.numbers) {
      const auto n = c->metadata.number_at(std::string(p.architecture) + "." + key);
      ASSERT_TRUE(n.ok()) << n.error().message;
      EXPECT_NEAR(*n, value, 1e-6 * value) << key;
    }
  }
}

/// The config.json of a model in kOthers, by its name or architecture, with one thing changed.
void refused(std::string_view of, std::string_view from, std::string_view to, std::string_view why) {
  for (const Published& p : kOthers) {
    if (p.architecture != of && p.name != of) continue;
    std::string config = p.config;
    const size_t at = config.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    config.replace(at, from.size(), to);
    const auto c = read_hf_config(config);
    ASSERT_FALSE(c.ok()) << why;
    EXPECT_NE(c.error().message.find(why), std::string::npos) << c.error().message;
  }
}

TEST(Families, WhatCannotBeHonouredIsRefused) {
  refused("gemma2", "\"query_pre_attn_scalar\": 256", "\"query_pre_attn_scalar\": 144",
          "query_pre_attn_scalar");
  refused("gemma2", "50.0", "null", "soft caps");
  refused("gemma2", "\"hidden_activation\": \"gelu_pytorch_tanh\"", "\"hidden_activation\": \"relu\"",
          "hidden_activation");
  refused("gemma3", "\"sliding_attention\",", "\"full_attention\",", "layer_types");
  refused("gemma3", "\"attn_logit_softcapping\": null", "\"attn_logit_softcapping\": 50.0",
          "attn_logit_softcapping");
  refused("phi3", "[1.5, 3.0]", "[1.5]", "long_factor");
  refused("phi3", "[1.0, 1.25]", "[1.0, 0]", "short_factor");
  refused("phi3", "0.25", "0.01", "partial_rotary_factor");
  refused("falcon", "\"alibi\": false", "\"alibi\": true", "alibi");
  refused("falcon", "\"multi_query\": true", "\"multi_query\": false", "multi_query");
  refused("gpt2", "gelu_new", "relu", "activation_function");
  refused("gpt-oss", "\"full_attention\", \"sliding_attention\"", "\"full_attention\", \"full_attention\"",
          "for layer 2; carat runs gpt-oss");
  refused("gpt-oss", "[\"sliding_attention\", \"full_attention\", ", "[", "layer_types is for");
  refused("gpt-oss", "\"rope_scaling\"", "\"rope_scalings\"", "rope_scaling is missing");
  refused("gpt-oss", "\"rope_theta\"", "\"rope_thetas\"", "rope_theta is missing");
  refused("gpt-oss", "\"rms_norm_eps\"", "\"rms_norm\"", "rms_norm_eps is missing");
  refused("gpt-oss", "\"num_local_experts\"", "\"experts\"", "num_local_experts is missing");
  refused("gpt-oss", "\"sliding_window\": 128", "\"sliding_window\": null", "sliding_window is missing");
  refused("gpt-oss", "\"swiglu_limit\": 7.0", "\"swiglu_limit\": 10.0", "swiglu_limit is 1E1");
  refused("gpt-oss", "\"mxfp4\"", "\"bitsandbytes\"", "already quantized (\"bitsandbytes\")");
}

TEST(Families, AnyMayBeInNvfp4) {
  for (const Published& p : kOthers) {
    std::string config = p.config;
    if (config.find("quantization_config") != std::string::npos) continue;
    config.insert(config.find('{') + 1, "\"quantization_config\": Q,");
    const auto read = [&](const char* said) {
      std::string text = config;
      text.replace(text.find("Q,"), 1, said);
      const auto c = read_hf_config(text);
      return c.ok() ? "" : c.error().message;
    };
    EXPECT_EQ(read(R"({"quant_method": "modelopt", "quant_algo": "NVFP4"})"), "") << p.name;
    EXPECT_EQ(read(R"({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"})"), "")
        << p.name;
    for (const char* other : {R"({"quant_method": "modelopt", "quant_algo": "FP8"})",
                              R"({"quant_method": "compressed-tensors", "format": "pack-quantized"})"})
      EXPECT_NE(read(other).find("already quantized"), std::string::npos) << p.name;
  }
}

TEST(Families, WhatDeepSeeksConfigsMustSay) {
  for (const char* key : {"kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
                          "n_routed_experts", "n_shared_experts", "moe_intermediate_size", "n_group",
                          "topk_group", "first_k_dense_replace", "routed_scaling_factor", "norm_topk_prob"})
    refused("DeepSeek-V3", fmt::format("\"{}\"", key), "\"x\"", fmt::format("{} is missing", key));
  refused("DeepSeek-V3", "\"sigmoid\"", "\"softmax\"", "scoring_func");
  refused("DeepSeek-V3", "\"noaux_tc\"", "\"greedy\"", "topk_method");
  refused("DeepSeek-V3", "[128, 128]", "[1, 128]", "weight_block_size [1,128]");
  refused("DeepSeek-V3", "\"fp8\"", "\"mxfp4\"", "already quantized");
  refused("DeepSeek-V3", "\"num_key_value_heads\": 128", "\"num_key_value_heads\": 8",
          "num_key_value_heads is 8");
  refused("DeepSeek-V3", "\"mscale\": 1.0", "\"mscale\": 0.5", "mscale 0.5");
  refused("DeepSeek-V3", "\"mscale_all_dim\"", "\"x\"", "mscale_all_dim 0");
  refused("DeepSeek-V3", "\"type\": \"yarn\"", "\"type\": \"linear\"", "linear");
  refused("DeepSeek-V3", "\"type\": \"yarn\"", "\"type\": \"llama3\"", "llama3");
  refused("DeepSeek-V3", "\"moe_layer_freq\": 1", "\"moe_layer_freq\": 2", "moe_layer_freq");
  refused("DeepSeek-V2-Lite", "\"norm_topk_prob\": false", "\"norm_topk_prob\": true", "norm_topk_prob");
  refused("DeepSeek-V2-Lite", "\"greedy\"", "\"noaux_tc\"", "topk_method");
}

TEST(Families, PublishedConfigs) {
  for (const Published& p : kPublished) {
    SCOPED_TRACE(p.name);
    const auto c = read_hf_config(p.config);
    ASSERT_TRUE(c.ok()) << c.error().message;
    EXPECT_EQ(c->family->architecture, p.architecture);
    EXPECT_EQ(c->tied, p.tied);
    EXPECT_EQ(c->head_dim, p.head_dim);
    for (const auto& [key, value] : p.numbers) {
      const auto n = c->metadata.number_at(std::string(p.architecture) + "." + key);
      ASSERT_TRUE(n.ok()) << n.error().message;
      EXPECT_EQ(*n, value) << key;
    }
    EXPECT_EQ(c->metadata.has("qwen2.attention.sliding_window"), false);
    if (p.last_divisor > 0) {
      ASSERT_EQ(c->divisors.size(), static_cast<size_t>(p.head_dim / 2));
      EXPECT_EQ(c->divisors.back(), p.last_divisor);
    } else {
      EXPECT_TRUE(c->divisors.empty());
    }
  }
}

/// Writing config.json for what was read from it loses nothing that these models say.
TEST(Families, PublishedConfigsComeBack) {
  std::vector<Published> all(std::begin(kPublished), std::end(kPublished));
  for (const Published& p : kOthers)
    if (find_family(p.architecture)->hf.written) all.push_back(p);
  for (const Published& p : all) {
    SCOPED_TRACE(p.name);
    const auto c = read_hf_config(p.config);
    ASSERT_TRUE(c.ok());
    HfExport facts;
    facts.family = c->family;
    facts.torch_dtype = "bfloat16";
    facts.vocabulary = c->vocabulary;
    facts.tied = p.tied;
    facts.divisors = c->divisors;
    const auto made = make_hf_config(c->metadata, facts, {});
    ASSERT_TRUE(made.ok()) << made.error().message;
    const auto again = read_hf_config(json::serialize(*made));
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_EQ(again->metadata.entries(), c->metadata.entries());
    EXPECT_EQ(again->divisors, c->divisors);
    EXPECT_EQ(again->hf_class, c->hf_class);
    EXPECT_EQ(again->tied.value_or(false), c->tied.value_or(false));
  }
}

}  // namespace
}  // namespace carat
