// Matrices with factors beside them, converted and quantized.
#include <algorithm>

#include "arch/tensor_scales.h"
#include "quantize/convert.h"
#include "quantize/testing.h"
#include "quantize/verify.h"

namespace carat {
namespace {

using namespace testing;

/// small_model() in NVFP4, all of whose matrices but the embedding have a factor, and experts.
Checkpoint scaled_model(const Folder& folder) {
  Checkpoint source = small_model();
  source.tensors.push_back(random_tensor("blk.1.ffn_up_exps.weight", {3, 32, 256}, 77));
  EXPECT_TRUE(source.reindex().ok());
  Runner runner;
  const auto made = quantize(runner.context(), source, folder / "nvfp4.gguf", options_for("NVFP4"));
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
  Checkpoint c = *read_gguf(folder / "nvfp4.gguf");
  const std::vector<Tensor> before = c.tensors;
  for (const Tensor& t : before) {
    if (t.shape.size() < 2 || t.name == "token_embd.weight") continue;
    const int64_t n = t.shape.size() == 3 ? t.shape[0] : 1;
    std::vector<float> factors;
    for (int64_t i = 0; i < n; ++i)
      factors.push_back(0.3f + 0.7f * static_cast<float>(c.tensors.size() % 7 + static_cast<size_t>(i)));
    c.tensors.push_back(tensor_of(scale_name(t.name), {n}, factors));
    c.tensors.push_back(tensor_of(t.name.substr(0, t.name.size() - 6) + "input_scale", {1}, {0.1f}));
  }
  EXPECT_TRUE(c.reindex().ok());
  return c;
}

/// What `name` stands for.
std::vector<float> values(const Checkpoint& c, std::string_view name) {
  const Tensor& t = *c.find(name);
  std::vector<float> x = *t.read_all();
  if (const Tensor* scale = c.find(scale_name(name))) {
    const std::vector<float> factors = *scale->read_all();
    const size_t each = x.size() / factors.size();
    for (size_t i = 0; i < x.size(); ++i) x[i] *= factors[i / each];
  }
  return x;
}

bool has_factors(const Checkpoint& c) {
  return std::ranges::any_of(c.tensors, [](const Tensor& t) { return t.name.ends_with("scale"); });
}

TEST(ScaledSource, ConvertMultipliesThemInOrCarriesThem) {
  Folder folder;
  Runner runner;
  const Checkpoint model = scaled_model(folder);
  ASSERT_TRUE(convert(runner.context(), model, folder / "f32.gguf", {.encoding = &encoding_f32()}).ok());
  const Checkpoint floats = *read_gguf(folder / "f32.gguf");
  EXPECT_FALSE(has_factors(floats));
  ASSERT_TRUE(convert(runner.context(), model, folder / "copy.gguf", {}).ok());
  const Checkpoint copy = *read_gguf(folder / "copy.gguf");
  EXPECT_EQ(copy.tensors.size(), model.tensors.size());
  EXPECT_TRUE(verify(runner.context(), copy)->ok());
  for (const Tensor& t : floats.tensors) {
    EXPECT_EQ(*t.read_all(), values(model, t.name)) << t.name;
    EXPECT_EQ(copy.find(t.name)->encoding, model.find(t.name)->encoding) << t.name;
    EXPECT_EQ(values(copy, t.name), values(model, t.name)) << t.name;
  }
}

TEST(ScaledSource, QuantizingNeedsLeaveAndRoundsWhatTheyStandFor) {
  Folder folder;
  Runner runner;
  const Checkpoint model = scaled_model(folder);
  const auto refused = quantize(runner.context(), model, folder / "refused.gguf", options_for("Q8_0"));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("--allow-requantize"), std::string::npos);
  EXPECT_NE(refused.error().message.find("NVFP4"), std::string::npos);

  QuantizeOptions options = options_for("Q8_0");
  options.allow_requantize = true;
  const auto report = quantize(runner.context(), model, folder / "q8.gguf", options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_TRUE(
      std::ranges::any_of(report->notes, [](const std::string& n) { return n.find("factors") != n.npos; }));
  ASSERT_TRUE(convert(runner.context(), model, folder / "f32.gguf", {.encoding = &encoding_f32()}).ok());
  const Checkpoint floats = *read_gguf(folder / "f32.gguf");
  ASSERT_TRUE(quantize(runner.context(), floats, folder / "direct.gguf", options).ok());
  const Checkpoint q8 = *read_gguf(folder / "q8.gguf"), direct = *read_gguf(folder / "direct.gguf");
  EXPECT_FALSE(has_factors(q8));
  for (const Tensor& t : direct.tensors) EXPECT_EQ(*q8.find(t.name)->read_all(), *t.read_all()) << t.name;

  const auto plan = plan_quantize(model, options);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->output_bytes, report->output_bytes);
}

TEST(ScaledSource, WhatIsCopiedKeepsThem) {
  Folder folder;
  Runner runner;
  const Checkpoint model = scaled_model(folder);
  QuantizeOptions options = options_for("NVFP4");
  options.recipe.rules = {parse_tensor_rule("ffn_gate=F16").value()};
  const auto report = quantize(runner.context(), model, folder / "out.gguf", options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  const Checkpoint out = *read_gguf(folder / "out.gguf");
  EXPECT_EQ(out.tensors.size(), model.tensors.size() - 4);  // factors and inputs' of two layers
  EXPECT_FALSE(out.find("blk.0.ffn_gate.scale"));
  EXPECT_EQ(out.find("blk.0.ffn_gate.weight")->encoding, &encoding_f16());
  for (const char* name : {"blk.1.attn_q.weight", "blk.1.ffn_up_exps.weight"}) {
    ASSERT_TRUE(out.find(scale_name(name))) << name;
    EXPECT_EQ(values(out, name), values(model, name)) << name;
  }
}

}  // namespace
}  // namespace carat
