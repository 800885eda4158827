#include "arch/hf_packed.h"

#include <gtest/gtest.h>

#include "arch/hf_config.h"
#include "arch/hf_forms.h"
#include "arch/hf_import.h"
#include "arch/tensor_views.h"
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
  const Tensor& t = **found;
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
  EXPECT_EQ((*found)->encoding->name, "FP8_BLOCK128");
  EXPECT_TRUE(is_packed(*(*found)->encoding));
  const auto v = (*found)->read_all();
  ASSERT_TRUE(v.ok());
  EXPECT_EQ((*v)[0], 1);
  EXPECT_EQ((*v)[1], -1);
  EXPECT_EQ((*v)[127 * 256 + 128], 2);
  EXPECT_EQ((*v)[128 * 256], 3);
  EXPECT_EQ((*v)[129 * 256 + 255], 6);
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

}  // namespace
}  // namespace carat
