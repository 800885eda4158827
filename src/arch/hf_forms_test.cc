#include "arch/hf_forms.h"

#include <gtest/gtest.h>

#include "arch/tensor_views.h"

namespace carat {
namespace {

Tensor numbered(std::vector<int64_t> shape) {
  Tensor t{"t", std::move(shape), &encoding_f32(), nullptr};
  std::vector<float> values(static_cast<size_t>(t.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  t.data = float_data(std::move(values), t.columns());
  return t;
}

/// The same rows, in memory that nobody may look at.
Tensor unmapped(const Tensor& t) {
  class Rows final : public TensorData {
   public:
    explicit Rows(std::shared_ptr<const TensorData> data) : data_(std::move(data)) {}
    Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
      return data_->read_bytes(first, count, out);
    }

   private:
    std::shared_ptr<const TensorData> data_;
  };
  Tensor copy = t;
  copy.data = std::make_shared<Rows>(t.data);
  return copy;
}

TEST(HfForms, TransposedRowsAreColumnsHoweverManyAreRead) {
  for (const Tensor& source : {numbered({3, 5}), unmapped(numbered({3, 5}))}) {
    const auto t = from_hf_form(source, HfForm::transposed, {});
    ASSERT_TRUE(t.ok());
    EXPECT_EQ(t->shape, (std::vector<int64_t>{5, 3}));
    const std::vector<float> expected = {0, 5, 10, 1, 6, 11, 2, 7, 12, 3, 8, 13, 4, 9, 14};
    EXPECT_EQ(*t->read_all(), expected);
    std::vector<float> two(6);
    ASSERT_TRUE(t->read_rows(3, 2, two.data()).ok());
    EXPECT_EQ(two, std::vector<float>(expected.begin() + 9, expected.end()));
  }
  EXPECT_FALSE(from_hf_form(numbered({5}), HfForm::transposed, {}).ok());
}

TEST(HfForms, GainsLessOneBecomeGains) {
  const auto t = from_hf_form(numbered({4}), HfForm::less_one, {});
  ASSERT_TRUE(t.ok());
  EXPECT_EQ(*t->read_all(), (std::vector<float>{1, 2, 3, 4}));
}

TEST(HfForms, RowsByKeyValueHeadBecomeQueriesKeysValues) {
  // 4 query heads on 2 key-value heads, of one row each: q0 q1 k0 v0 q2 q3 k1 v1.
  const HeadCounts heads{4, 2, 1};
  const auto t = from_hf_form(numbered({8, 1}), HfForm::by_key_value_head, heads);
  ASSERT_TRUE(t.ok());
  EXPECT_EQ(*t->read_all(), (std::vector<float>{0, 1, 4, 5, 2, 6, 3, 7}));
  // Multi-query heads of two rows: as they stand.
  const auto one = from_hf_form(numbered({10, 1}), HfForm::by_key_value_head, {3, 1, 2});
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(*one->read_all(), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_FALSE(from_hf_form(numbered({9, 1}), HfForm::by_key_value_head, heads).ok());
}

}  // namespace
}  // namespace carat
