// Directories of DeepSeek's models and of gpt-oss, whose tensors stand otherwise there than in GGUF.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "arch/hf_config.h"
#include "arch/hf_import.h"
#include "arch/hf_merge.h"
#include "arch/model_config.h"
#include "arch/open_model.h"
#include "arch/tiny_model.h"
#include "base/context.h"
#include "containers/gguf.h"
#include "containers/mapped_file.h"
#include "containers/safetensors.h"

namespace carat {
namespace {

namespace fs = std::filesystem;
using testing::TinyShape;

class HfMixtures : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("carat_hf_mixtures_" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string path() const { return (root_ / "m").string(); }
  Status write(const Checkpoint& c) {
    ThreadPool pool(2);
    Cancellation cancellation;
    Progress progress;
    return write_hf_directory({pool, cancellation, progress}, c, path(), {&encoding_f32()}, nullptr);
  }

  fs::path root_;
};

Checkpoint tiny(const std::string& architecture, const TinyShape& changed = {}) {
  TinyShape shape = testing::tiny_shape(*find_family(architecture), changed);
  shape.vocabulary = 512;
  Checkpoint c = testing::tiny_model(architecture, shape);
  const auto golden = read_gguf(CARAT_SOURCE_DIR "/golden/stories260K.gguf");
  EXPECT_TRUE(golden.ok());
  for (const auto& [key, value] : golden->metadata.entries())
    if (key.starts_with("tokenizer.")) c.metadata.set(key, value);
  c.metadata.set("gpt-oss.attention.sliding_window", Value::u32(7));
  return c;
}

std::vector<float> values(const Checkpoint& c, std::string_view name) {
  const Tensor* t = c.find(name);
  if (!t) {
    ADD_FAILURE() << name << " is missing";
    return {};
  }
  const auto all = t->read_all();
  EXPECT_TRUE(all.ok());
  return all.ok() ? *all : std::vector<float>();
}

TEST_F(HfMixtures, GptOssHasGatesAndUpsInTurnOutside) {
  const Checkpoint c = tiny("gpt-oss");
  ASSERT_TRUE(write(c).ok());
  const auto raw = read_safetensors_directory(path());
  ASSERT_TRUE(raw.ok()) << raw.error().message;
  const int64_t experts = 4, width = 12, channels = 8;
  const Tensor* both = raw->find("model.layers.1.mlp.experts.gate_up_proj");
  ASSERT_NE(both, nullptr);
  EXPECT_EQ(both->shape, (std::vector<int64_t>{experts, width, 2 * channels}));
  const auto outside = values(*raw, both->name), gate = values(c, "blk.1.ffn_gate_exps.weight"),
             up = values(c, "blk.1.ffn_up_exps.weight");
  const auto bias = values(*raw, "model.layers.1.mlp.experts.gate_up_proj_bias"),
             up_bias = values(c, "blk.1.ffn_up_exps.bias");
  const auto down_outside = values(*raw, "model.layers.1.mlp.experts.down_proj"),
             down = values(c, "blk.1.ffn_down_exps.weight");
  for (int64_t e = 0; e < experts; ++e)
    for (int64_t r = 0; r < channels; ++r) {
      EXPECT_EQ(bias[e * 2 * channels + 2 * r + 1], up_bias[e * channels + r]);
      for (int64_t j = 0; j < width; ++j) {
        EXPECT_EQ(outside[(e * width + j) * 2 * channels + 2 * r], gate[(e * channels + r) * width + j]);
        EXPECT_EQ(outside[(e * width + j) * 2 * channels + 2 * r + 1], up[(e * channels + r) * width + j]);
        EXPECT_EQ(down_outside[(e * channels + r) * width + j], down[(e * width + j) * channels + r]);
      }
    }
}

TEST_F(HfMixtures, TheOlderLayoutOfLatentAttentionComesBackAsTheNewer) {
  const Checkpoint old = tiny("deepseek2");
  ASSERT_NE(old.find("blk.0.attn_kv_b.weight"), nullptr);
  ASSERT_TRUE(write(old).ok());
  const auto back = open_model(path());
  ASSERT_TRUE(back.ok()) << back.error().message;
  const auto config = read_model_config(*back);
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_TRUE(config->latent.absorbed);
  EXPECT_EQ(config->latent.plain, 2);
  EXPECT_EQ(config->latent.value, 3);
  EXPECT_EQ(back->find("blk.0.attn_kv_b.weight"), nullptr);
  const auto both = values(old, "blk.1.attn_kv_b.weight"), k = values(*back, "blk.1.attn_k_b.weight"),
             v = values(*back, "blk.1.attn_v_b.weight");
  const int64_t heads = 6, plain = 2, value = 3, rank = 10;
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t c = 0; c < rank; ++c) {
      for (int64_t p = 0; p < plain; ++p)
        EXPECT_EQ(k[(h * rank + c) * plain + p], both[(h * (plain + value) + p) * rank + c]);
      for (int64_t p = 0; p < value; ++p)
        EXPECT_EQ(v[(h * value + p) * rank + c], both[(h * (plain + value) + plain + p) * rank + c]);
    }
}

TEST_F(HfMixtures, LayersThatPredictFurtherTokensAreLeftOutAndNamed) {
  ASSERT_TRUE(write(tiny("deepseek2", {.absorbed = true})).ok());
  auto raw = read_safetensors_directory(path());
  ASSERT_TRUE(raw.ok());
  std::string text = *read_small_file(path() + "/config.json", 1 << 20);
  auto config = read_hf_config(text);
  ASSERT_TRUE(config.ok()) << config.error().message;
  Tensor further = *raw->find("model.layers.1.input_layernorm.weight");
  further.name = "model.layers.2.enorm.weight";
  raw->tensors.push_back(further);
  ASSERT_TRUE(raw->reindex().ok());
  std::vector<Tensor> tensors;
  std::vector<std::string> left_out;
  config->further_layers = 1;
  ASSERT_TRUE(map_tensors(*config, *raw, tensors, left_out).ok());
  EXPECT_EQ(left_out, std::vector<std::string>{"model.layers.2.* (1 tensors that predict further tokens)"});
  for (const Tensor& t : tensors) EXPECT_FALSE(t.name.starts_with("model.")) << t.name;
  // Unless config.json says that there are some, they are something that carat does not know.
  config->further_layers = 0;
  tensors.clear();
  left_out.clear();
  ASSERT_TRUE(map_tensors(*config, *raw, tensors, left_out).ok());
  EXPECT_TRUE(left_out.empty());
  EXPECT_EQ(tensors.back().name, "model.layers.2.enorm.weight");
}

TEST_F(HfMixtures, WhatIsMissingIsNamed) {
  ASSERT_TRUE(write(tiny("deepseek2", {.absorbed = true})).ok());
  const auto raw = read_safetensors_directory(path());
  ASSERT_TRUE(raw.ok());
  const auto config = read_hf_config(*read_small_file(path() + "/config.json", 1 << 20));
  ASSERT_TRUE(config.ok());
  for (const char* name :
       {"model.layers.1.self_attn.kv_b_proj.weight", "model.layers.0.self_attn.q_b_proj.weight",
        "model.layers.1.mlp.gate.weight", "model.layers.1.mlp.shared_experts.up_proj.weight"}) {
    Checkpoint without = *raw;
    std::erase_if(without.tensors, [&](const Tensor& t) { return t.name == name; });
    ASSERT_TRUE(without.reindex().ok());
    std::vector<Tensor> tensors;
    std::vector<std::string> left_out;
    const auto mapped = map_tensors(*config, without, tensors, left_out);
    ASSERT_FALSE(mapped.ok()) << name;
    EXPECT_NE(mapped.error().message.find(std::string(name) + " is missing"), std::string::npos)
        << mapped.error().message;
  }
}

/// Bytes as a tensor of another name and shape.
Tensor codes(const std::string& name, std::vector<int64_t> shape, const char* encoding, uint8_t first) {
  class Bytes final : public TensorData {
   public:
    Bytes(int64_t columns, uint8_t first) : columns_(columns), first_(first) {}
    Status read_bytes(int64_t row, int64_t count, uint8_t* out) const override {
      for (int64_t i = 0; i < count * columns_; ++i)
        out[i] = static_cast<uint8_t>(first_ + (row * columns_ + i) % 7);
      return {};
    }

   private:
    int64_t columns_;
    uint8_t first_;
  };
  Tensor t{name, std::move(shape), find_encoding(encoding), nullptr};
  t.data = std::make_shared<Bytes>(t.columns(), first);
  return t;
}

TEST_F(HfMixtures, Mxfp4ExpertsKeepTheirCodes) {
  ASSERT_TRUE(write(tiny("gpt-oss", {.width = 32, .expert_feed_forward = 64})).ok());
  auto raw = read_safetensors_directory(path());
  ASSERT_TRUE(raw.ok());
  std::erase_if(raw->tensors, [](const Tensor& t) {
    return t.name.ends_with("experts.gate_up_proj") || t.name.ends_with("experts.down_proj");
  });
  for (const char* layer : {"0", "1"}) {
    const std::string experts = fmt::format("model.layers.{}.mlp.experts.", layer);
    raw->tensors.push_back(codes(experts + "gate_up_proj_blocks", {4, 128, 1, 16}, "U8", 30));
    raw->tensors.push_back(codes(experts + "gate_up_proj_scales", {4, 128, 1}, "U8", 120));
    raw->tensors.push_back(codes(experts + "down_proj_blocks", {4, 32, 2, 16}, "U8", 50));
    raw->tensors.push_back(codes(experts + "down_proj_scales", {4, 32, 2}, "U8", 121));
  }
  ASSERT_TRUE(raw->reindex().ok());
  const auto config = read_hf_config(*read_small_file(path() + "/config.json", 1 << 20));
  ASSERT_TRUE(config.ok());
  Checkpoint c;
  std::vector<std::string> left_out;
  const auto mapped = map_tensors(*config, *raw, c.tensors, left_out);
  ASSERT_TRUE(mapped.ok()) << mapped.error().message;
  ASSERT_TRUE(c.reindex().ok());
  c.metadata = config->metadata;
  c.metadata.set("general.architecture", Value::string("gpt-oss"));
  const auto model = read_model_config(c);  // every shape
  ASSERT_TRUE(model.ok()) << model.error().message;
  for (const char* part : {"gate", "up", "down"})
    EXPECT_EQ(c.find(fmt::format("blk.1.ffn_{}_exps.weight", part))->encoding, find_encoding("MXFP4"))
        << part;
  // Row 5 of an expert's ups is row 11 of both, whose scale is 120 + 11 % 7.
  std::vector<uint8_t> block(17);
  ASSERT_TRUE(c.find("blk.1.ffn_up_exps.weight")->data->read_bytes(5, 1, block.data()).ok());
  EXPECT_EQ(block[0], 124);
}

TEST_F(HfMixtures, Fp8ExpertsAreStackedWithTheirScales) {
  const TinyShape shape{.width = 128, .feed_forward = 128, .expert_feed_forward = 128, .absorbed = true};
  ASSERT_TRUE(write(tiny("deepseek2", shape)).ok());
  auto raw = read_safetensors_directory(path());
  ASSERT_TRUE(raw.ok());
  const auto config = read_hf_config(*read_small_file(path() + "/config.json", 1 << 20));
  ASSERT_TRUE(config.ok());
  std::vector<Tensor> scales;
  for (Tensor& t : raw->tensors) {
    if (t.name.find(".experts.") == std::string::npos) continue;
    t = codes(t.name, t.shape, "F8_E4M3", 48);
    Tensor scale{t.name + "_scale_inv", {1, 1}, &encoding_f32(), nullptr};
    scale.data = float_data({static_cast<float>(scales.size() + 1)}, 1);
    scales.push_back(scale);
  }
  ASSERT_EQ(scales.size(), 12u);
  raw->tensors.insert(raw->tensors.end(), scales.begin(), scales.end());
  ASSERT_TRUE(raw->reindex().ok());
  Checkpoint c;
  std::vector<std::string> left_out;
  const auto mapped = map_tensors(*config, *raw, c.tensors, left_out);
  ASSERT_TRUE(mapped.ok()) << mapped.error().message;
  ASSERT_TRUE(c.reindex().ok());
  const Tensor* gates = c.find("blk.1.ffn_gate_exps.weight");
  ASSERT_NE(gates, nullptr);
  EXPECT_EQ(gates->encoding, find_encoding("FP8_BLOCK128"));
  EXPECT_EQ(gates->shape, (std::vector<int64_t>{4, 128, 128}));
  std::vector<float> row(128);
  for (int64_t expert = 0; expert < 4; ++expert) {
    ASSERT_TRUE(gates->read_rows(expert * 128, 1, row.data()).ok());
    const float scale =
        values(*raw, fmt::format("model.layers.1.mlp.experts.{}.gate_proj.weight_scale_inv", expert))[0];
    EXPECT_EQ(row[0], scale * 0.5f);     // 48
    EXPECT_EQ(row[1], scale * 0.5625f);  // 49
  }
  std::erase_if(raw->tensors,
                [](const Tensor& t) { return t.name.ends_with("experts.2.up_proj.weight_scale_inv"); });
  ASSERT_TRUE(raw->reindex().ok());
  c.tensors.clear();
  const auto without = map_tensors(*config, *raw, c.tensors, left_out);
  ASSERT_FALSE(without.ok());
  EXPECT_NE(without.error().message.find("no model.layers.1.mlp.experts.2.up_proj.weight_scale_inv"),
            std::string::npos)
      << without.error().message;
}

/// Counts the rows that are read.
class Counted final : public TensorData {
 public:
  Counted(std::shared_ptr<const TensorData> data, int64_t& rows) : data_(std::move(data)), rows_(rows) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    rows_ += count;
    return data_->read_bytes(first, count, out);
  }

 private:
  std::shared_ptr<const TensorData> data_;
  int64_t& rows_;
};

TEST(HfMerge, AMatrixIsTurnedOnceAndForgotten) {
  const Family& family = *find_family("gpt-oss");
  const Checkpoint c = tiny("gpt-oss");
  const TensorRule& down = *family.rule(Role::down_experts);
  int64_t rows = 0;
  Tensor counted = *c.find("blk.0.ffn_down_exps.weight");  // four matrices of 12 rows and 8 columns
  counted.data = std::make_shared<Counted>(counted.data, rows);
  const auto turned = to_hf_form(c, family, down, 0, counted);
  ASSERT_TRUE(turned.ok() && *turned);
  std::vector<float> row(12);
  for (int64_t r = 0; r < 16; ++r) ASSERT_TRUE((*turned)->read_rows(r, 1, row.data()).ok());
  EXPECT_EQ(rows, 2 * 12);
  (*turned)->data->release(0, 7);  // not its last row
  ASSERT_TRUE((*turned)->read_rows(0, 1, row.data()).ok());
  EXPECT_EQ(rows, 2 * 12);
  (*turned)->data->release(7, 1);
  ASSERT_TRUE((*turned)->read_rows(8, 1, row.data()).ok());
  EXPECT_EQ(rows, 2 * 12);
  ASSERT_TRUE((*turned)->read_rows(0, 1, row.data()).ok());
  EXPECT_EQ(rows, 3 * 12);
}

TEST(HfMerge, HalvesThatDoNotBelongTogetherAreRefused) {
  const Family& family = *find_family("gpt-oss");
  Checkpoint c = tiny("gpt-oss");
  const TensorRule& gate = *family.rule(Role::gate_experts);
  for (Tensor& t : c.tensors)
    if (t.name == "blk.0.ffn_up_exps.weight") t.shape = {4, 4, 24};
  const auto unlike = to_hf_form(c, family, gate, 0, *c.find("blk.0.ffn_gate_exps.weight"));
  ASSERT_FALSE(unlike.ok());
  EXPECT_NE(unlike.error().message.find("different shapes"), std::string::npos);
  const auto second =
      to_hf_form(c, family, *family.rule(Role::up_experts), 1, *c.find("blk.1.ffn_up_exps.weight"));
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE(second->has_value());
  std::erase_if(c.tensors, [](const Tensor& t) { return t.name == "blk.0.ffn_up_exps.weight"; });
  ASSERT_TRUE(c.reindex().ok());
  EXPECT_FALSE(to_hf_form(c, family, gate, 0, *c.find("blk.0.ffn_gate_exps.weight")).ok());
}

}  // namespace
}  // namespace carat
