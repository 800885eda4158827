#include "arch/hf_packed.h"

#include <gtest/gtest.h>

#include "arch/hf_config.h"
#include "arch/hf_forms.h"
#include "arch/hf_import.h"
#include "arch/tensor_views.h"
#include "arch/tiny_model.h"
#include "encodings/all.h"

namespace carat {
namespace {

class Raw final : public TensorData {
 public:
  Raw(std::vector<uint8_t> bytes, size_t row) : bytes_(std::move(bytes)), row_(row) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    std::copy_n(bytes_.begin() + first * static_cast<int64_t>(row_), static_cast<size_t>(count) * row_, out);
    return {};
  }

 private:
  std::vector<uint8_t> bytes_;
  size_t row_;
};

Tensor bytes(const std::string& name, std::vector<int64_t> shape, const char* encoding,
             std::vector<uint8_t> values) {
  Tensor t{name, std::move(shape), find_encoding(encoding), nullptr};
  EXPECT_EQ(values.size(), static_cast<size_t>(t.elements()));
  t.data = std::make_shared<Raw>(std::move(values), static_cast<size_t>(t.columns()));
  return t;
}

Tensor floats(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
  Tensor t{name, std::move(shape), &encoding_f32(), nullptr};
  t.data = float_data(std::move(values), t.columns());
  return t;
}

Checkpoint checkpoint(std::vector<Tensor> tensors) {
  Checkpoint c;
  c.source = "packed";
  c.tensors = std::move(tensors);
  EXPECT_TRUE(c.reindex().ok());
  return c;
}

std::string refusal(const Checkpoint& c) {
  std::unordered_set<std::string_view> used;
  const auto t = find_weights(c, "w", used);
  return t.ok() ? "" : t.error().message;
}

/// Blocks of one expert with `rows` rows of 32 columns: byte i of row r is 16 r + i.
std::vector<uint8_t> counted(size_t rows) {
  std::vector<uint8_t> out(16 * rows);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint8_t>(i * 7);
  return out;
}

// The values are those of transformers' table: E2M1 times 2^(scale - 127), a byte's low nibble first.
TEST(HfPacked, Mxfp4HasAByteOfTwoColumnsSideBySide) {
  constexpr float kLevels[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0f, -0.5, -1, -1.5, -2, -3, -4, -6};
  const std::vector<uint8_t> codes = counted(4);
  const Checkpoint c = checkpoint({bytes("w_blocks", {1, 4, 1, 16}, "U8", codes),
                                   bytes("w_scales", {1, 4, 1}, "U8", {127, 128, 120, 0})});
  std::unordered_set<std::string_view> used;
  const auto found = find_weights(c, "w", used);
  ASSERT_TRUE(found.ok() && *found) << found.error().message;
  const Tensor& t = (*found)->tensor;
  EXPECT_EQ(used.size(), 2u);
  EXPECT_EQ(t.encoding, find_encoding("MXFP4"));
  EXPECT_EQ(t.shape, (std::vector<int64_t>{1, 4, 32}));
  const auto values = t.read_all();
  ASSERT_TRUE(values.ok());
  const float scales[] = {1, 2, 0x1p-7f, 0x1p-127f};
  for (size_t i = 0; i < values->size(); ++i) {
    const int code = codes[i / 2] >> (i % 2 == 0 ? 0 : 4) & 15;
    EXPECT_EQ((*values)[i], scales[i / 32] * kLevels[code]) << i;
  }
  // Gates and ups alternate by rows, which are not transposed.
  const auto up = from_hf_form(t, HfForm::second_of_pairs, {});
  ASSERT_TRUE(up.ok());
  EXPECT_EQ(up->shape, (std::vector<int64_t>{1, 2, 32}));
  const auto ups = up->read_all();
  EXPECT_EQ(std::vector<float>(ups->begin(), ups->begin() + 32),
            std::vector<float>(values->begin() + 32, values->begin() + 64));
  EXPECT_EQ(std::vector<float>(ups->begin() + 32, ups->end()),
            std::vector<float>(values->begin() + 96, values->end()));
  const auto down = from_hf_form(t, HfForm::transposed, {});
  ASSERT_TRUE(down.ok());
  EXPECT_EQ(down->shape, t.shape);
}

TEST(HfPacked, Fp8HasAScaleForEachTile) {
  // 130 rows of 256 columns: two tiles beside one another, and two rows of a second pair.
  std::vector<uint8_t> codes(130 * 256, 0x38);  // 1
  codes[1] = 0xb8;                              // -1
  codes[129 * 256 + 255] = 0x3c;                // 1.5
  const Checkpoint c =
      checkpoint({bytes("w", {130, 256}, "F8_E4M3", codes), floats("w_scale_inv", {2, 2}, {1, 2, 3, 4})});
  std::unordered_set<std::string_view> used;
  const auto found = find_weights(c, "w", used);
  ASSERT_TRUE(found.ok() && *found) << found.error().message;
  EXPECT_EQ(used.size(), 2u);
  EXPECT_EQ((*found)->tensor.encoding->name, "FP8_BLOCK128");
  EXPECT_TRUE(is_packed(*(*found)->tensor.encoding));
  const auto v = (*found)->tensor.read_all();
  ASSERT_TRUE(v.ok());
  EXPECT_EQ((*v)[0], 1);
  EXPECT_EQ((*v)[1], -1);
  EXPECT_EQ((*v)[127 * 256 + 128], 2);
  EXPECT_EQ((*v)[128 * 256], 3);
  EXPECT_EQ((*v)[129 * 256 + 255], 6);
}

// The values are those of ModelOpt and compressed-tensors: E2M1 times E4M3 times the tensor's factor, a
// byte's low nibble first.
TEST(HfPacked, Nvfp4HasAScaleForSixteenColumnsAndAFactor) {
  constexpr float kLevels[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0f, -0.5, -1, -1.5, -2, -3, -4, -6};
  std::vector<uint8_t> codes = counted(2 * 64 / 16);  // two rows of 128 columns
  const std::vector<uint8_t> scales = {0x38, 0x39, 0x40, 0x01, 0x7e, 0x08, 0x30, 0,
                                       0x38, 0x38, 0x38, 0x38, 0x3c, 0x3c, 0x3c, 0x3c};
  const float values[] = {1, 1.125, 2, 0x1p-9f, 448, 0x1p-6f, 0.5, 0, 1, 1, 1, 1, 1.5, 1.5, 1.5, 1.5};
  const auto with = [&](bool modelopt) {
    const std::string weight = modelopt ? "x.weight" : "x.weight_packed";
    return checkpoint({bytes(weight, {2, 64}, "U8", codes),
                       bytes("x.weight_scale", {2, 8}, "F8_E4M3", scales),
                       floats(modelopt ? "x.weight_scale_2" : "x.weight_global_scale", {1}, {0.25f}),
                       floats(modelopt ? "x.input_scale" : "x.input_global_scale", {1}, {8})});
  };
  for (const bool modelopt : {true, false}) {
    const Checkpoint c = with(modelopt);
    std::unordered_set<std::string_view> used;
    const auto found = find_weights(c, "x.weight", used);
    ASSERT_TRUE(found.ok() && *found) << found.error().message;
    EXPECT_EQ(used.size(), 4u);
    EXPECT_EQ((*found)->scale, std::vector<float>{modelopt ? 0.25f : 4});
    EXPECT_EQ((*found)->input_scale, std::vector<float>{modelopt ? 8 : 0.125f});
    const Tensor& t = (*found)->tensor;
    EXPECT_EQ(t.encoding, find_encoding("NVFP4"));
    EXPECT_TRUE(is_packed(*t.encoding));
    EXPECT_EQ(t.shape, (std::vector<int64_t>{2, 128}));
    const auto decoded = t.read_all();
    ASSERT_TRUE(decoded.ok());
    for (size_t i = 0; i < decoded->size(); ++i) {
      const int code = codes[i / 2] >> (i % 2 == 0 ? 0 : 4) & 15;
      EXPECT_EQ((*decoded)[i], values[i / 16] * kLevels[code]) << i;
    }
  }
  // Scales have no sign, and factors are numbers.
  Checkpoint negative = checkpoint({bytes("w", {1, 32}, "U8", std::vector<uint8_t>(32)),
                                    bytes("w_scale", {1, 4}, "F8_E4M3", {0x38, 0x38, 0xb8, 0x38})});
  std::unordered_set<std::string_view> used;
  const auto found = find_weights(negative, "w", used);
  ASSERT_TRUE(found.ok() && *found);
  EXPECT_TRUE((*found)->scale.empty());
  const auto read = (*found)->tensor.read_all();
  ASSERT_FALSE(read.ok());
  EXPECT_NE(read.error().message.find("scale 2 of row 0"), std::string::npos) << read.error().message;
  const std::vector<uint8_t> row(32), four(4, 0x38);
  EXPECT_NE(refusal(checkpoint({bytes("w", {1, 32}, "U8", row), bytes("w_scale", {1, 4}, "F8_E4M3", four),
                                floats("w_scale_2", {1}, {INFINITY})}))
                .find("no factor"),
            std::string::npos);
  EXPECT_NE(
      refusal(checkpoint({bytes("w_packed", {1, 32}, "U8", row), bytes("w_scale", {1, 4}, "F8_E4M3", four),
                          floats("w_global_scale", {1}, {0})}))
          .find("no factor"),
      std::string::npos);
  EXPECT_NE(refusal(checkpoint({bytes("w", {1, 16}, "U8", std::vector<uint8_t>(16)),
                                bytes("w_scale", {1, 2}, "F8_E4M3", {1, 1})}))
                .find("no NVFP4"),
            std::string::npos);
  EXPECT_EQ(refusal(checkpoint({bytes("w_packed", {1, 32}, "U8", row)})),
            "there is a tensor w_packed, but no w_scale");
}

TEST(HfPacked, WhatDoesNotFitIsRefusedByName) {
  const std::vector<uint8_t> block(16, 1);
  EXPECT_EQ(refusal(checkpoint({bytes("w_blocks", {1, 1, 16}, "U8", block)})),
            "there is a tensor w_blocks, but no w_scales");
  EXPECT_EQ(refusal(checkpoint({bytes("w_scales", {1, 1}, "U8", {1})})),
            "there is a tensor w_scales, but no w_blocks");
  EXPECT_NE(refusal(checkpoint({bytes("w_blocks", {1, 1, 16}, "U8", block),
                                bytes("w_scales", {1, 2}, "U8", {1, 1})}))
                .find("no MXFP4"),
            std::string::npos);
  EXPECT_NE(
      refusal(checkpoint({bytes("w_blocks", {1, 1, 16}, "I8", block), bytes("w_scales", {1, 1}, "U8", {1})}))
          .find("no MXFP4"),
      std::string::npos);
  EXPECT_EQ(refusal(checkpoint({bytes("w", {1, 128}, "F8_E4M3", std::vector<uint8_t>(128))})),
            "there is a tensor w, but no w_scale_inv");
  EXPECT_NE(refusal(checkpoint({bytes("w", {1, 128}, "F8_E4M3", std::vector<uint8_t>(128)),
                                floats("w_scale_inv", {1, 2}, {1, 1})}))
                .find("each tile"),
            std::string::npos);
  EXPECT_NE(refusal(checkpoint({bytes("w", {1, 64}, "F8_E4M3", std::vector<uint8_t>(64)),
                                floats("w_scale_inv", {1, 1}, {1})}))
                .find("each tile"),
            std::string::npos);
}

// Where config.json does not say whether embeddings are tied, a head does, in whatever form it is stored.
TEST(HfPacked, AHeadInAnyFormUnties) {
  const testing::TinyShape shape{.layers = 1, .width = 64};
  const Checkpoint tiny = testing::tiny_model("llama", shape);
  const auto config = [](std::string_view ties) {
    return read_hf_config(
        R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
            "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 6,
            "num_key_value_heads": 3, "head_dim": 4, "vocab_size": 11, "rms_norm_eps": 1e-5,
            "max_position_embeddings": 64, "rope_theta": 10000)" +
        std::string(ties) + "}");
  };
  const auto silent = config(""), ties = config(R"(, "tie_word_embeddings": true)");
  ASSERT_TRUE(silent.ok() && ties.ok());
  Checkpoint bare;  // without a head
  for (const TensorRule& rule : silent->family->tensors)
    if (const Tensor* t = tiny.find(rule.gguf_name(0)); t && rule.role != Role::output) {
      bare.tensors.push_back(*t);
      bare.tensors.back().name = rule.hf_name(0);
    }
  const auto with = [&](std::vector<Tensor> head) {
    std::vector<Tensor> all = bare.tensors;
    all.insert(all.end(), head.begin(), head.end());
    return checkpoint(std::move(all));
  };
  const std::vector<uint8_t> codes(11 * 32, 0x21), scales(11 * 4, 0x38), exponents(11 * 2, 127);
  const Checkpoint compressed = with({bytes("lm_head.weight_packed", {11, 32}, "U8", codes),
                                      bytes("lm_head.weight_scale", {11, 4}, "F8_E4M3", scales),
                                      floats("lm_head.weight_global_scale", {1}, {4})});
  const Checkpoint blocks = with({bytes("lm_head.weight_blocks", {11, 2, 16}, "U8", codes),
                                  bytes("lm_head.weight_scales", {11, 2}, "U8", exponents)});
  for (const Checkpoint* c : {&compressed, &blocks}) {
    Checkpoint out;
    std::vector<std::string> left_out;
    const auto mapped = map_tensors(*silent, *c, out.tensors, left_out);
    ASSERT_TRUE(mapped.ok()) << mapped.error().message;
    EXPECT_TRUE(left_out.empty());
    ASSERT_TRUE(out.reindex().ok());
    ASSERT_NE(out.find("output.weight"), nullptr);
    EXPECT_EQ(out.find("output.weight")->encoding, find_encoding(c == &compressed ? "NVFP4" : "MXFP4"));
    EXPECT_EQ(out.find("output.scale") != nullptr, c == &compressed);
    const auto differs = map_tensors(*ties, *c, out.tensors, left_out);
    ASSERT_FALSE(differs.ok());
    EXPECT_NE(differs.error().message.find("differs from"), std::string::npos) << differs.error().message;
  }
  std::vector<Tensor> out;
  std::vector<std::string> left_out;
  ASSERT_TRUE(map_tensors(*silent, with({}), out, left_out).ok());
  for (const Tensor& t : out) EXPECT_NE(t.name, "output.weight");
}

}  // namespace
}  // namespace carat
