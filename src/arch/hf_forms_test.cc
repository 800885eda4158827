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

TEST(HfForms, EachOfSeveralMatricesIsTransposed) {
  for (const Tensor& source : {numbered({2, 2, 3}), unmapped(numbered({2, 2, 3}))}) {
    const auto t = from_hf_form(source, HfForm::transposed, {});
    ASSERT_TRUE(t.ok());
    EXPECT_EQ(t->shape, (std::vector<int64_t>{2, 3, 2}));
    const std::vector<float> expected = {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11};
    EXPECT_EQ(*t->read_all(), expected);
    std::vector<float> across(6);  // from the second row of one matrix into the next
    ASSERT_TRUE(t->read_rows(2, 3, across.data()).ok());
    EXPECT_EQ(across, std::vector<float>(expected.begin() + 4, expected.begin() + 10));
  }
}

TEST(HfForms, GatesAndUpsAlternate) {
  // Two experts of two channels that read three columns: [2, 3, 4], columns gate, up, gate, up.
  for (const Tensor& source : {numbered({2, 3, 4}), unmapped(numbered({2, 3, 4}))}) {
    const auto gate = from_hf_form(source, HfForm::first_of_pairs, {});
    const auto up = from_hf_form(source, HfForm::second_of_pairs, {});
    ASSERT_TRUE(gate.ok() && up.ok());
    EXPECT_EQ(gate->shape, (std::vector<int64_t>{2, 2, 3}));
    EXPECT_EQ(*gate->read_all(), (std::vector<float>{0, 4, 8, 2, 6, 10, 12, 16, 20, 14, 18, 22}));
    EXPECT_EQ(*up->read_all(), (std::vector<float>{1, 5, 9, 3, 7, 11, 13, 17, 21, 15, 19, 23}));
  }
  const auto bias = from_hf_form(numbered({2, 4}), HfForm::second_of_pairs, {});
  ASSERT_TRUE(bias.ok());
  EXPECT_EQ(bias->shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(*bias->read_all(), (std::vector<float>{1, 3, 5, 7}));
  EXPECT_FALSE(from_hf_form(numbered({2, 3}), HfForm::first_of_pairs, {}).ok());
  EXPECT_FALSE(from_hf_form(numbered({2, 4, 3}), HfForm::first_of_pairs, {}).ok());
}

TEST(HfForms, KeysAndValuesOfLatentVectorsAreTakenApart) {
  // Two heads with two rows for a key and one for a value, of vectors of two.
  const HeadCounts heads{.heads = 2, .plain = 2, .value = 1};
  const auto k = from_hf_form(numbered({6, 2}), HfForm::latent_keys, heads);
  const auto v = from_hf_form(numbered({6, 2}), HfForm::latent_values, heads);
  ASSERT_TRUE(k.ok() && v.ok());
  EXPECT_EQ(k->shape, (std::vector<int64_t>{2, 2, 2}));
  EXPECT_EQ(*k->read_all(), (std::vector<float>{0, 2, 1, 3, 6, 8, 7, 9}));
  EXPECT_EQ(v->shape, (std::vector<int64_t>{2, 1, 2}));
  EXPECT_EQ(*v->read_all(), (std::vector<float>{4, 5, 10, 11}));
  const auto odd = from_hf_form(numbered({7, 2}), HfForm::latent_values, heads);
  ASSERT_FALSE(odd.ok());
  EXPECT_NE(odd.error().message.find("7 rows"), std::string::npos);
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
