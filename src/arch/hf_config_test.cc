// config.json alone: what it says, and what is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "arch/hf_config.h"

namespace carat {
namespace {

constexpr const char* kPlain =
    R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512,
  "rope_theta": 10000.0, "rms_norm_eps": 1e-05)";

Result<HfConfig> config_with(const std::string& more) { return read_hf_config(kPlain + more + "}"); }

void expect_refused(const std::string& more, std::string_view part) {
  const auto config = config_with(more);
  ASSERT_FALSE(config.ok()) << more;
  EXPECT_EQ(config.error().code, Code::bad_data);
  EXPECT_NE(config.error().message.find(part), std::string::npos) << config.error().message;
}

TEST(HfConfig, WhatWouldChangeTheFunctionIsHonouredOrRefused) {
  ASSERT_TRUE(config_with("").ok());
  expect_refused(R"(, "hidden_act": "gelu")", "hidden_act");
  expect_refused(R"(, "rope_scaling": {"type": "dynamic", "factor": 2})", "dynamic");
  expect_refused(R"(, "rope_scaling": {"rope_type": "yarn"})", "factor");
  expect_refused(R"(, "rope_scaling": {"rope_type": "yarn", "factor": 1e300})", "factor");
  expect_refused(R"(, "rope_scaling": {"rope_type": "llama3", "factor": 8, "high_freq_factor": 1})",
                 "high_freq");
  expect_refused(R"(, "rope_scaling": {"factor": 4})", "rope_type");
  expect_refused(R"(, "rope_scaling": "linear")", "rope_scaling is \"\\\"linear");
  expect_refused(R"(, "rope_parameters": [4])", "rope_parameters is an array");
  expect_refused(R"(, "partial_rotary_factor": 0.5)", "partial_rotary_factor");
  expect_refused(R"(, "quantization_config": {"quant_method": "gptq"})", "gptq");
  expect_refused(R"(, "num_hidden_layers": -1)", "num_hidden_layers");
  expect_refused(R"(, "num_hidden_layers": 1e99)", "num_hidden_layers");
  expect_refused(R"(, "num_attention_heads": 5)", "does not divide");
  expect_refused(R"(, "head_dim": 3)", "pairs");
  expect_refused(R"(, "hidden_size": "64")", "hidden_size");
  expect_refused(R"(, "gguf_metadata": {"a": {"type": "u8", "value": 256}})", "\"a\"");
  expect_refused(R"(, "architectures": ["MambaForCausalLM"])", "LlamaForCausalLM, MistralForCausalLM");
  EXPECT_TRUE(config_with(R"(, "rope_scaling": {"rope_type": "default"})").ok());
  EXPECT_TRUE(config_with(R"(, "rope_parameters": {"rope_theta": 500000.0})").ok());
  EXPECT_TRUE(config_with(R"(, "rope_scaling": null, "head_dim": null)").ok());
}

TEST(HfConfig, RopeParametersOfTransformers5) {
  const auto c =
      config_with(R"(, "rope_parameters": {"rope_type": "linear", "factor": 4, "rope_theta": 500000.0})");
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ(*c->metadata.number_at("llama.rope.freq_base"), 500000.0);
  EXPECT_EQ(*c->metadata.number_at("llama.rope.scaling.factor"), 4.0);
}

TEST(HfConfig, AttentionFactorIsTheWholeMagnitude) {
  const auto c = config_with(R"(, "rope_scaling": {"type": "yarn", "factor": 4.0, "attention_factor": 1.0})");
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_FLOAT_EQ(static_cast<float>(*c->metadata.number_at("llama.rope.scaling.attn_factor")),
                  static_cast<float>(1.0 / (1.0 + 0.1 * std::log(4.0))));
}

TEST(HfConfig, WindowsByClass) {
  const std::string window = R"(, "sliding_window": 4096)";
  const auto has = [](const Result<HfConfig>& c, const char* key) { return c.ok() && c->metadata.has(key); };
  EXPECT_FALSE(has(config_with(window), "llama.attention.sliding_window"));
  EXPECT_TRUE(has(config_with(window + R"(, "architectures": ["MistralForCausalLM"])"),
                  "llama.attention.sliding_window"));
  const std::string qwen = window + R"(, "architectures": ["Qwen2ForCausalLM"], "use_sliding_window": )";
  EXPECT_FALSE(has(config_with(qwen + "false"), "qwen2.attention.sliding_window"));
  EXPECT_TRUE(has(config_with(qwen + R"(true, "max_window_layers": 0)"), "qwen2.attention.sliding_window"));
  expect_refused(qwen + R"(true, "max_window_layers": 1)", "max_window_layers");
  EXPECT_FALSE(has(config_with(qwen + R"(true, "max_window_layers": 2)"), "qwen2.attention.sliding_window"));
}

/// Values from the reference implementation in transformers (modeling_rope_utils, Llama 3.1: factor 8).
TEST(HfConfig, Llama3DivisorsAreMetas) {
  const std::vector<float> d = llama3_divisors({}, 500000.0, 128);
  ASSERT_EQ(d.size(), 64u);
  EXPECT_EQ(d[0], 1.0f);
  EXPECT_EQ(d[28], 1.0f);
  EXPECT_EQ(d[63], 8.0f);
  for (size_t i = 1; i < d.size(); ++i) EXPECT_GE(d[i], d[i - 1]);
  // Pair 32: wavelength 2 pi sqrt(500000) = 4442.88, smooth = (8192 / 4442.88 - 1) / 3.
  const double smooth = (8192.0 / (2.0 * M_PI * std::sqrt(500000.0)) - 1.0) / 3.0;
  EXPECT_FLOAT_EQ(d[32], static_cast<float>(1.0 / ((1.0 - smooth) / 8.0 + smooth)));
}

}  // namespace
}  // namespace carat
