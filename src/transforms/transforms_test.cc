// The transforms that need no statistics, against a double-precision forward pass written out here, for every
// family: same logits.
#include <set>

#include "model/testing/reference_forward.h"
#include "transforms/outliers.h"
#include "transforms/rescale.h"
#include "transforms/testing.h"
#include "transforms/widen.h"

namespace carat {
namespace {

using testing::expect_same_function;
using testing::tiny_model;
using testing::Variant;
using testing::variants;

TEST(Rescale, KeepsTheFunctionAndChangesEveryMatrix) {
  for (const Variant& v : variants()) {
    SCOPED_TRACE(v.name);
    const Checkpoint before = tiny_model(v.architecture, v.shape);
    const auto after = rescale(before, 7, 0.3);
    ASSERT_TRUE(after.ok()) << after.error().message;
    expect_same_function(before, *after);
    for (size_t i = 0; i < before.tensors.size(); ++i) {
      const std::string& name = before.tensors[i].name;
      // The embedding starts the residual stream; q and k biases and head norms stand behind no factor.
      const bool stays = name == "token_embd.weight" || name == "rope_freqs.weight" ||
                         name.ends_with("attn_q.bias") || name.ends_with("attn_k.bias") ||
                         name.ends_with("q_norm.weight") || name.ends_with("k_norm.weight") ||
                         (name == "output_norm.weight" && v.shape.tied);
      const auto x = before.tensors[i].read_all(), y = after->tensors[i].read_all();
      ASSERT_EQ(x->size(), y->size());
      size_t same = 0;
      for (size_t j = 0; j < x->size(); ++j) same += (*x)[j] == (*y)[j];
      EXPECT_EQ(same, stays ? x->size() : 0u) << name;
    }
    EXPECT_EQ(**after->metadata.string_at("carat.transform.rescale"), "seed=7 sigma=0.3");
  }
}

TEST(Rescale, KeepsTheFunctionOfEveryFamily) {
  for (const Family* family : all_families()) {
    SCOPED_TRACE(family->architecture);
    const std::string name(family->architecture);
    const Checkpoint before = tiny_model(name, testing::tiny_shape(*family, {.biases = true}));
    const auto after = rescale(before, 7, 0.3);
    ASSERT_TRUE(after.ok()) << after.error().message;
    const std::vector<int32_t> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
    const auto expected = testing::ReferenceForward(before).logits(tokens);
    const auto actual = testing::ReferenceForward(*after).logits(tokens);
    // The reference rounds keys and values to f16, and values are rescaled.
    for (size_t t = 0; t < tokens.size(); ++t)
      for (size_t i = 0; i < expected[t].size(); ++i)
        EXPECT_NEAR(actual[t][i], expected[t][i], 0.02 * (1 + std::abs(expected[t][i])));
  }
}

TEST(Rescale, DependsOnTheSeedAndNotOnTheOrderOfReading) {
  const Checkpoint c = tiny_model("llama", {});
  const auto a = rescale(c, 1, 0.15), b = rescale(c, 1, 0.15), other = rescale(c, 2, 0.15);
  const Tensor& t = *a->find("blk.1.ffn_up.weight");
  const auto all = t.read_all();
  std::vector<float> backwards(all->size());
  for (int64_t r = t.rows() - 1; r >= 0; --r)
    ASSERT_TRUE(b->find("blk.1.ffn_up.weight")->read_rows(r, 1, backwards.data() + r * t.columns()).ok());
  EXPECT_EQ(*all, backwards);
  EXPECT_NE(*all, *other->find("blk.1.ffn_up.weight")->read_all());
  // Same draw for the same name whatever else the model has.
  const auto tied = rescale(tiny_model("llama", {.tied = true}), 1, 0.15);
  const auto gain = [](const Checkpoint& m) { return (*m.find("blk.1.attn_norm.weight")->read_all())[3]; };
  const Checkpoint plain = tiny_model("llama", {.tied = true});
  EXPECT_FLOAT_EQ(gain(*tied) / gain(plain), gain(*a) / gain(c));
}

TEST(Rescale, SigmaZeroIsTheIdentityAndOthersAreChecked) {
  const Checkpoint c = tiny_model("qwen2", {});
  const auto same = rescale(c, 1, 0.0);
  for (const Tensor& t : c.tensors) EXPECT_EQ(*t.read_all(), *same->find(t.name)->read_all()) << t.name;
  EXPECT_EQ(rescale(c, 1, -0.1).error().code, Code::usage);
  EXPECT_EQ(rescale(c, 1, std::nan("")).error().code, Code::usage);
}

TEST(Outliers, KeepTheFunctionAndEnlargeTheSameChannelsOfEveryNorm) {
  for (const Variant& v : variants()) {
    SCOPED_TRACE(v.name);
    const Checkpoint before = tiny_model(v.architecture, v.shape);
    const auto after = inject_outliers(before, {.seed = 3, .channels = 2, .factor = 20});
    ASSERT_TRUE(after.ok()) << after.error().message;
    expect_same_function(before, *after);
    std::set<size_t> enlarged;
    for (const Tensor& t : before.tensors) {
      if (!t.name.ends_with("attn_norm.weight") && !t.name.ends_with("ffn_norm.weight")) continue;
      if (t.name.find("post") != std::string::npos) continue;
      const auto x = t.read_all(), y = after->find(t.name)->read_all();
      size_t count = 0;
      for (size_t i = 0; i < x->size(); ++i)
        if ((*x)[i] != (*y)[i]) {
          EXPECT_FLOAT_EQ((*y)[i], 20 * (*x)[i]);
          enlarged.insert(i);
          ++count;
        }
      EXPECT_EQ(count, 2u) << t.name;
    }
    EXPECT_EQ(enlarged.size(), 2u);
    EXPECT_EQ(**after->metadata.string_at("carat.transform.outliers"), "seed=3 channels=2 factor=20");
  }
}

TEST(Outliers, CheckTheirNumbers) {
  const Checkpoint c = tiny_model("llama", {});
  for (const OutlierOptions& o : {OutlierOptions{1, 0, 30}, {1, 1 << 20, 30}, {1, 1, 0.5}, {1, 1, 1e5}})
    EXPECT_EQ(inject_outliers(c, o).error().code, Code::usage);
  EXPECT_EQ(inject_outliers(c, {1, 1, std::nan("")}).error().code, Code::usage);
}

TEST(Outliers, AreRefusedWhereNoFactorCanMove) {
  for (const char* family : {"falcon", "olmo2"}) {
    const auto after = inject_outliers(tiny_model(family, {}), {});
    ASSERT_FALSE(after.ok()) << family;
    EXPECT_EQ(after.error().code, Code::usage);
    EXPECT_NE(after.error().message.find(family), std::string::npos) << after.error().message;
  }
}

TEST(Widen, KeepsTheFunction) {
  const WidenOptions cases[] = {{16, 0, 0}, {0, 0, 32}, {18, 0, 29}, {16, 12, 32}};
  for (const Variant& v : variants())
    for (const WidenOptions& options : cases) {
      SCOPED_TRACE(fmt::format("{} to {}:{}:{}", v.name, options.width, options.heads, options.feed_forward));
      const Checkpoint before = tiny_model(v.architecture, v.shape);
      const auto after = widen(before, options);
      ASSERT_TRUE(after.ok()) << after.error().message;
      expect_same_function(before, *after);
    }
}

TEST(Widen, BothTogether) {
  for (const Variant& v : variants()) {
    SCOPED_TRACE(v.name);
    const Checkpoint before = tiny_model(v.architecture, v.shape);
    expect_same_function(before, *rescale(*widen(before, {16, 12, 32}), 3, 0.15));
    expect_same_function(before, *widen(*rescale(before, 3, 0.15), {16, 12, 32}));
  }
}

TEST(Widen, WhatIsAdded) {
  const Checkpoint before = tiny_model("llama", {});
  const auto after = widen(before, {16, 8, 32});
  ASSERT_TRUE(after.ok()) << after.error().message;
  const auto config = read_model_config(*after);
  EXPECT_EQ(config->width, 16);
  EXPECT_EQ(config->heads, 8);
  EXPECT_EQ(config->kv_heads, 4);
  EXPECT_EQ(config->head_dim, 4);
  EXPECT_EQ(config->feed_forward, 32);
  EXPECT_FLOAT_EQ(config->norm_epsilon, 0.75e-5f);
  EXPECT_EQ(**after->metadata.string_at("carat.transform.widen"), "width=16 heads=8 feed_forward=32");
  // 12 -> 16: every fourth residual channel is new and holds zero.
  const auto embedding = after->find("token_embd.weight")->read_all();
  const auto old = before.find("token_embd.weight")->read_all();
  for (int64_t r = 0; r < 11; ++r)
    for (int64_t j = 0; j < 16; ++j)
      EXPECT_EQ((*embedding)[r * 16 + j], j % 4 == 3 ? 0.0f : (*old)[r * 12 + j / 4 * 3 + j % 4]);
  // Weights that meet only zeros look like the others, and come from elsewhere in the row.
  const auto gate = after->find("blk.0.ffn_gate.weight")->read_all();
  for (int64_t j = 3; j < 16; j += 4) EXPECT_NE((*gate)[j], 0.0f);
  std::set<float> distinct(gate->begin(), gate->begin() + 8);
  EXPECT_EQ(distinct.size(), 8u);
}

TEST(Widen, SizesThatMakeNoSenseAreUsageErrors) {
  const Checkpoint c = tiny_model("llama", {});
  for (const WidenOptions& options :
       {WidenOptions{11, 0, 0}, WidenOptions{0, 7, 0}, WidenOptions{0, 5, 0}, WidenOptions{0, 0, 19},
        WidenOptions{int64_t{1} << 40, 0, 0}, WidenOptions{-16, 0, 0}}) {
    const auto after = widen(c, options);
    ASSERT_FALSE(after.ok());
    EXPECT_EQ(after.error().code, Code::usage) << after.error().message;
  }
}

}  // namespace
}  // namespace carat
