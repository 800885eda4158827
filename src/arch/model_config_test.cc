#include "arch/model_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "arch/tiny_model.h"

namespace carat {
namespace {

using testing::tiny_model;
using testing::TinyShape;

void expect_error(const Checkpoint& c, std::string_view part) {
  const auto config = read_model_config(c);
  ASSERT_FALSE(config.ok()) << "expected an error about " << part;
  EXPECT_EQ(config.error().code, Code::bad_data);
  EXPECT_NE(config.error().message.find(part), std::string::npos) << config.error().message;
}

void drop(Checkpoint& c, std::string_view name) {
  std::erase_if(c.tensors, [&](const Tensor& t) { return t.name == name; });
  ASSERT_TRUE(c.reindex().ok());
}

void add(Checkpoint& c, const std::string& name, std::vector<int64_t> shape) {
  Tensor t{name, std::move(shape), &encoding_f32(), nullptr};
  t.data = float_data(std::vector<float>(static_cast<size_t>(t.elements()), 1.0f), t.columns());
  c.tensors.push_back(std::move(t));
  ASSERT_TRUE(c.reindex().ok());
}

TEST(ModelConfig, ReadsEveryFamily) {
  for (const Family* family : all_families()) {
    const std::string name(family->architecture);
    const Checkpoint model = tiny_model(name, testing::tiny_shape(*family));
    const auto c = read_model_config(model);
    ASSERT_TRUE(c.ok()) << c.error().message;
    const auto has = [&](const char* tensor) { return model.find(tensor) != nullptr; };
    EXPECT_EQ(c->architecture, name);
    EXPECT_EQ(c->layers, 2);
    EXPECT_EQ(c->width, 12);
    EXPECT_EQ(c->heads, 6);
    EXPECT_EQ(c->kv_heads, name == "deepseek2" ? 6 : 3);
    EXPECT_EQ(c->head_dim, 4);
    EXPECT_EQ(c->rotary_dim, name == "gpt2" ? 0 : name == "deepseek2" ? 2 : 4);
    EXPECT_EQ(c->vocabulary, 11);
    const auto is_one_of = [&](std::set<std::string> names) { return names.contains(name); };
    EXPECT_EQ(c->rope_interleaved, family->rope_interleaved) << name;
    EXPECT_EQ(c->qkv_bias, has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias")) << name;
    EXPECT_EQ(c->qk_norm, has("blk.0.attn_q_norm.weight")) << name;
    EXPECT_EQ(c->post_norms, has("blk.0.post_ffw_norm.weight")) << name;
    EXPECT_EQ(c->norm == NormKind::layer, is_one_of({"command-r", "falcon", "gpt2", "starcoder2"})) << name;
    EXPECT_EQ(c->parallel, is_one_of({"command-r", "falcon"})) << name;
    EXPECT_EQ(c->gated, !is_one_of({"falcon", "gpt2", "starcoder2"})) << name;
    EXPECT_FALSE(c->tied_embeddings);
    EXPECT_EQ(c->experts.count, is_one_of({"qwen2moe", "qwen3moe", "gpt-oss", "deepseek2"}) ? 4 : 0) << name;
    EXPECT_EQ(c->rope_scaling, RopeScaling::none);
  }
}

TEST(ModelConfig, FamiliesAreWhatTheyWerePublishedAs) {
  const auto config = [](const std::string& name) {
    const auto c = read_model_config(tiny_model(name, testing::tiny_shape(*find_family(name))));
    EXPECT_TRUE(c.ok()) << name;
    return *c;
  };
  for (const char* name : {"llama", "granite", "glm4", "command-r", "deepseek2"})
    EXPECT_TRUE(config(name).rope_interleaved) << name;
  for (const char* name : {"qwen2", "qwen3", "gemma3", "olmo2", "phi3", "gpt-oss", "falcon", "starcoder2"})
    EXPECT_FALSE(config(name).rope_interleaved) << name;
  for (const char* name : {"qwen2", "qwen2moe", "gpt-oss", "starcoder2", "gpt2"})
    EXPECT_TRUE(config(name).qkv_bias) << name;
  for (const char* name : {"qwen3", "qwen3moe", "gemma3", "olmo2"}) EXPECT_TRUE(config(name).qk_norm) << name;
  for (const char* name : {"gemma2", "gemma3", "olmo2", "glm4"}) EXPECT_TRUE(config(name).post_norms) << name;
}

TEST(ModelConfig, ReadsMixturesOfExperts) {
  Checkpoint c = tiny_model("llama", {.experts = 8, .expert_feed_forward = 20});
  const auto config = read_model_config(c);
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->experts.count, 8);
  EXPECT_EQ(config->experts.used, 2);
  EXPECT_EQ(config->experts.feed_forward, 20);
  EXPECT_TRUE(config->experts.normalised);
  EXPECT_TRUE(config->is_mixture(0));

  c.metadata.set("llama.expert_used_count", Value::u32(9));
  EXPECT_NE(read_model_config(c).error().message.find("outside 1 to 8"), std::string::npos);
  c.metadata.set("llama.expert_used_count", Value::u32(2));
  c.metadata.set("llama.expert_count", Value::u32(7));
  EXPECT_NE(read_model_config(c).error().message.find("[8, 12], but the metadata asks for [7, 12]"),
            std::string::npos);
  // Experts that nobody asks for.
  c.metadata.set("llama.expert_count", Value::u32(0));
  EXPECT_NE(read_model_config(c).error().message.find("blk.0.ffn_down.weight is missing"), std::string::npos);
  Checkpoint dense = tiny_model("qwen2", {});
  dense.metadata.set("qwen2.expert_count", Value::u32(4));
  EXPECT_NE(read_model_config(dense).error().message.find("qwen2 without experts only"), std::string::npos);
}

TEST(ModelConfig, LayersOfGemmaLookLocallyOrAtEverything) {
  Checkpoint c = tiny_model("gemma3", {.layers = 12, .tied = true});
  EXPECT_FALSE(read_model_config(c)->has_local_rope());  // no window: one rotation
  c.metadata.set("gemma3.attention.sliding_window", Value::u32(16));
  const auto config = read_model_config(c);
  ASSERT_TRUE(config.ok()) << config.error().message;
  for (int64_t l = 0; l < 12; ++l) EXPECT_EQ(config->window_of(l), l % 6 == 5 ? 0 : 16) << l;
  EXPECT_TRUE(config->has_local_rope());
  EXPECT_EQ(config->local_rope_base, 10000.0f);
  EXPECT_EQ(config->gate, Gate::gelu);
  EXPECT_FLOAT_EQ(config->embedding_scale, std::sqrt(12.0f));
  EXPECT_FLOAT_EQ(config->attention_scale, 0.5f);
  c.metadata.set("gemma3.final_logit_softcapping", Value::f32(30));
  EXPECT_EQ(read_model_config(c)->logit_softcap, 30.0f);
}

TEST(ModelConfig, DefaultsFollowFromWhatIsThere) {
  Checkpoint c = tiny_model("llama", {.width = 24, .tied = true, .divisors = true});
  c.metadata.erase("llama.attention.key_length");
  c.metadata.erase("llama.attention.value_length");
  c.metadata.erase("llama.rope.dimension_count");
  c.metadata.erase("llama.rope.freq_base");
  c.metadata.erase("llama.vocab_size");
  const auto config = read_model_config(c);
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->head_dim, 4);
  EXPECT_EQ(config->value_dim, 4);
  EXPECT_EQ(config->rope_base, 10000.0f);
  EXPECT_TRUE(config->tied_embeddings);
  EXPECT_EQ(config->rope_scaling, RopeScaling::llama3);
  EXPECT_EQ(config->rope_divisors.size(), 2u);
}

TEST(ModelConfig, PerLayerArraysOfOneValueAreThatValue) {
  Checkpoint c = tiny_model("llama", {});
  c.metadata.set("llama.attention.head_count_kv", Value::i32s({3, 3}));
  EXPECT_TRUE(read_model_config(c).ok());
  c.metadata.set("llama.attention.head_count_kv", Value::i32s({3, 6}));
  expect_error(c, "differs between layers");
  c.metadata.set("llama.attention.head_count_kv", Value::i32s({}));
  expect_error(c, "empty array");
}

TEST(ModelConfig, NumbersOfHostileFilesAreRefused) {
  struct Case {
    const char* key;
    Value value;
    const char* part;
  };
  const Case cases[] = {
      {"llama.block_count", Value::u32(0), "outside"},
      {"llama.block_count", Value::u32(4000000000u), "outside"},
      {"llama.block_count", Value::u32(3), "blk.2.attn_norm.weight is missing"},
      {"llama.block_count", Value::u32(1), "blk.1."},
      {"llama.block_count", Value::string("2"), "llama.block_count"},
      {"llama.embedding_length", Value::u32(13), "token_embd.weight has shape [11, 12]"},
      {"llama.embedding_length", Value::i32(-12), "outside"},
      {"llama.feed_forward_length", Value::u32(21), "ffn_down.weight has shape"},
      {"llama.attention.head_count", Value::u32(0), "outside"},
      {"llama.attention.head_count", Value::u32(7), "do not divide"},
      {"llama.attention.head_count", Value::u64(uint64_t{1} << 63), "llama.attention.head_count"},
      {"llama.attention.head_count_kv", Value::u32(0), "outside"},
      {"llama.attention.head_count_kv", Value::u32(12), "outside"},
      {"llama.attention.key_length", Value::u32(8), "rotates whole heads"},
      {"llama.rope.dimension_count", Value::u32(2), "rotates whole heads"},
      {"llama.rope.dimension_count", Value::u32(0), "outside"},
      {"llama.attention.layer_norm_rms_epsilon", Value::f32(-1.0f), "outside"},
      {"llama.attention.layer_norm_rms_epsilon", Value::f32(std::nanf("")), "outside"},
      {"llama.context_length", Value::u32(0), "outside"},
      {"llama.rope.freq_base", Value::f32(0.0f), "outside"},
      {"llama.rope.scaling.factor", Value::f32(-4.0f), "outside"},
      {"llama.rope.scaling.factor", Value::f32(1e-9f), "outside"},
      {"llama.rope.scaling.type", Value::string("longrope"), "longrope"},
      {"llama.vocab_size", Value::u32(12), "token_embd.weight has 11 rows"},
      {"llama.expert_count", Value::u32(8), "llama.expert_used_count is missing"},
      {"tokenizer.ggml.tokens", Value::strings({"a", "b"}), "2 tokens"},
      {"general.architecture", Value::string("mamba\x01"), "carat runs command-r, deepseek2, falcon, gemma2"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.key);
    Checkpoint c = tiny_model("llama", {});
    c.metadata.set(one.key, one.value);
    expect_error(c, one.part);
  }
}

TEST(ModelConfig, TensorsMustBeThereAndFit) {
  Checkpoint c = tiny_model("llama", {});
  drop(c, "blk.1.ffn_up.weight");
  expect_error(c, "blk.1.ffn_up.weight is missing");

  c = tiny_model("llama", {.biases = true});
  EXPECT_TRUE(read_model_config(c)->qkv_bias);
  drop(c, "blk.1.attn_v.bias");
  expect_error(c, "blk.1.attn_v.bias is missing");

  c = tiny_model("qwen3", {});
  drop(c, "blk.0.attn_q_norm.weight");
  expect_error(c, "blk.0.attn_q_norm.weight is missing");

  c = tiny_model("llama", {});
  drop(c, "token_embd.weight");
  expect_error(c, "token_embd.weight");

  c = tiny_model("llama", {});
  add(c, "rope_freqs.weight", {3});
  expect_error(c, "rope_freqs.weight has shape [3]");
  c = tiny_model("llama", {});
  add(c, "blk.0.attn_output.bias", {12});
  expect_error(c, "would be wrong");
  c = tiny_model("llama", {});
  add(c, "blk.99999999999999999999.attn_norm.weight", {12});
  expect_error(c, "would be wrong");
  c = tiny_model("llama", {});
  add(c, "model.layers.0.self_attn.o_proj.bias", {12});
  expect_error(c, "would be wrong");
  c = tiny_model("llama", {});
  add(c, "mm.projector.weight", {2, 2});
  EXPECT_TRUE(read_model_config(c).ok());
}

TEST(ModelConfig, FactorsOfMatricesMustBeSuch) {
  TinyShape shape;
  shape.experts = 3;
  const auto with = [&](const char* name, std::vector<int64_t> dims, float value = 0.5f) {
    Checkpoint c = tiny_model("qwen3moe", shape);
    add(c, name, std::move(dims));
    Tensor& t = c.tensors.back();
    t.data = float_data(std::vector<float>(static_cast<size_t>(t.elements()), value), t.columns());
    return c;
  };
  for (const char* name :
       {"blk.1.attn_q.scale", "blk.0.attn_output.input_scale", "output.scale", "blk.0.ffn_up_exps.scale"})
    EXPECT_TRUE(read_model_config(with(name, {1})).ok()) << name;
  EXPECT_TRUE(read_model_config(with("blk.0.ffn_up_exps.scale", {3})).ok());
  expect_error(with("blk.0.ffn_up_exps.scale", {2}), "has shape [2]");
  expect_error(with("blk.1.attn_q.scale", {12}), "one float");
  expect_error(with("blk.1.attn_q.scale", {1}, INFINITY), "no matrix can be multiplied");
  // Nothing would multiply by these.
  for (const char* name : {"token_embd.scale", "blk.0.ffn_gate_inp.scale", "blk.0.attn_norm.scale",
                           "blk.7.attn_q.scale", "blk.0.attn_x.scale"})
    expect_error(with(name, {1}), "would be wrong");
}

TEST(ModelConfig, DivisorsMustDivide) {
  Checkpoint c = tiny_model("llama", {});
  Tensor t{"rope_freqs.weight", {2}, &encoding_f32(), float_data({1.0f, 0.0f}, 2)};
  c.tensors.push_back(t);
  ASSERT_TRUE(c.reindex().ok());
  expect_error(c, "cannot divide");
}

// --- rotary angles

ModelConfig rotary(int dim) {
  ModelConfig c;
  c.rotary_dim = dim;
  c.rope_original_context = 4096;
  return c;
}

/// The formulas once more, with the frequency of one pair given in closed form.
void expect_pair(const ModelConfig& c, int pair, double frequency, double magnitude) {
  for (int64_t position : {int64_t{0}, int64_t{1}, int64_t{777}, int64_t{100000}}) {
    std::vector<float> cos(c.rotary_dim / 2), sin(c.rotary_dim / 2);
    rope_row(c, position, cos.data(), sin.data());
    EXPECT_NEAR(cos[pair], magnitude * std::cos(static_cast<double>(position) * frequency), 1e-6)
        << pair << " at " << position;
    EXPECT_NEAR(sin[pair], magnitude * std::sin(static_cast<double>(position) * frequency), 1e-6)
        << pair << " at " << position;
  }
}

TEST(Rope, NoneLinearAndDivisors) {
  ModelConfig c = rotary(64);
  for (int i : {0, 1, 17, 31}) expect_pair(c, i, std::pow(10000.0, -i / 32.0), 1.0);
  c.rope_scaling = RopeScaling::linear;
  c.rope_factor = 4.0f;
  for (int i : {0, 31}) expect_pair(c, i, std::pow(10000.0, -i / 32.0) / 4.0, 1.0);
  c.rope_factor = 1.0f;
  c.rope_scaling = RopeScaling::llama3;
  c.rope_divisors.assign(32, 1.0f);
  c.rope_divisors[31] = 32.0f;
  expect_pair(c, 30, std::pow(10000.0, -30 / 32.0), 1.0);
  expect_pair(c, 31, std::pow(10000.0, -31 / 32.0) / 32.0, 1.0);
}

TEST(Rope, YarnKeepsFastPairsAndInterpolatesSlowOnes) {
  // d = 128, base 10^6, L = 32768 (Qwen2.5): pairs below 23.60 turn more than 32 times within L, those above
  // 39.65 less than once; rounded outwards, the ramp goes from pair 23 to pair 40.
  ModelConfig c = rotary(128);
  c.rope_base = 1e6f;
  c.rope_scaling = RopeScaling::yarn;
  c.rope_factor = 4.0f;
  c.rope_original_context = 32768;
  const double low = std::floor(128 * std::log(32768 / (32 * 2 * M_PI)) / (2 * std::log(1e6)));
  const double high = std::ceil(128 * std::log(32768 / (1 * 2 * M_PI)) / (2 * std::log(1e6)));
  ASSERT_EQ(low, 23.0);
  ASSERT_EQ(high, 40.0);
  const double magnitude = 1.0 + 0.1 * std::log(4.0);
  const auto plain = [](int i) { return std::pow(1e6, -i / 64.0); };
  expect_pair(c, 0, plain(0), magnitude);
  expect_pair(c, 23, plain(23), magnitude);
  expect_pair(c, 40, plain(40) / 4.0, magnitude);
  expect_pair(c, 63, plain(63) / 4.0, magnitude);
  const double ramp = (30 - low) / (high - low);
  expect_pair(c, 30, plain(30) / 4.0 * ramp + plain(30) * (1 - ramp), magnitude);
  c.yarn_attention_factor = 0.5f;
  expect_pair(c, 63, plain(63) / 4.0, 0.5 * magnitude);
  c.yarn_ext_factor = 0.0f;
  expect_pair(c, 0, plain(0) / 4.0, 0.5);
}

TEST(Rope, YarnsRampMayBeginAndEndBetweenPairs) {
  // gpt-oss: d = 64, base 150000, L = 4096; the ramp goes from pair 8.09 to pair 17.40.
  ModelConfig c = rotary(64);
  c.rope_base = 150000.0f;
  c.rope_scaling = RopeScaling::yarn;
  c.rope_factor = 32.0f;
  c.rope_original_context = 4096;
  const auto pair = [](double turns) {
    return 64 * std::log(4096 / (turns * 2 * M_PI)) / (2 * std::log(150000.0));
  };
  const double magnitude = 1.0 + 0.1 * std::log(32.0);
  const auto expected = [&](int i, double low, double high) {
    const double ramp = (i - low) / (high - low), plain = std::pow(150000.0, -i / 32.0);
    return plain / 32.0 * ramp + plain * (1 - ramp);
  };
  expect_pair(c, 12, expected(12, std::floor(pair(32)), std::ceil(pair(1))), magnitude);
  c.yarn_whole_pairs = false;
  expect_pair(c, 12, expected(12, pair(32), pair(1)), magnitude);
  expect_pair(c, 8, std::pow(150000.0, -8 / 32.0), magnitude);
}

TEST(Rope, ScalingKeys) {
  Checkpoint c = tiny_model("qwen2", {});
  c.metadata.set("qwen2.rope.scaling.type", Value::string("yarn"));
  c.metadata.set("qwen2.rope.scaling.factor", Value::f32(4.0f));
  c.metadata.set("qwen2.rope.scaling.original_context_length", Value::u32(16));
  auto config = read_model_config(c);
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->rope_scaling, RopeScaling::yarn);
  EXPECT_EQ(config->rope_factor, 4.0f);
  EXPECT_EQ(config->rope_original_context, 16);
  EXPECT_EQ(config->yarn_ext_factor, 1.0f);
  EXPECT_TRUE(config->yarn_whole_pairs);
  c.metadata.set("qwen2.rope.scaling.yarn_truncate", Value::boolean(false));
  EXPECT_FALSE(read_model_config(c)->yarn_whole_pairs);
  c.metadata.set("qwen2.rope.scaling.type", Value::string("none"));
  EXPECT_EQ(read_model_config(c)->rope_factor, 1.0f);
  c.metadata.erase("qwen2.rope.scaling.type");
  EXPECT_EQ(read_model_config(c)->rope_scaling, RopeScaling::linear);
}

}  // namespace
}  // namespace carat
