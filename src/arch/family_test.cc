// The families' tables, and config.json files as published: what they must become in GGUF.
#include "arch/family.h"

#include <gtest/gtest.h>

#include <set>

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
      EXPECT_TRUE(hf.insert(rule.hf_name(12, 3)).second);
      EXPECT_EQ(rule.hf_name(12, 3).find("{}"), std::string::npos);
      EXPECT_EQ(rule.hf.find("{}") != std::string_view::npos, rule.per_layer());
      EXPECT_EQ(rule.per_expert(), rule.shape.front() == Dim::experts && rule.role != Role::router);
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
const Published kReadOnly[] = {
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
};

TEST(Families, ConfigsOfFamiliesThatAreReadOnly) {
  for (const Published& p : kReadOnly) {
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

TEST(Families, WhatCannotBeHonouredIsRefused) {
  const auto refused = [](std::string_view of, std::string_view from, std::string_view to,
                          std::string_view why) {
    for (const Published& p : kReadOnly) {
      if (p.architecture != of) continue;
      std::string config = p.config;
      const size_t at = config.find(from);
      ASSERT_NE(at, std::string::npos) << from;
      config.replace(at, from.size(), to);
      const auto c = read_hf_config(config);
      ASSERT_FALSE(c.ok()) << why;
      EXPECT_NE(c.error().message.find(why), std::string::npos) << c.error().message;
    }
  };
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
  for (const Published& p : kPublished) {
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
    EXPECT_EQ(again->tied, c->tied);
  }
}

}  // namespace
}  // namespace carat
