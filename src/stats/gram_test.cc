#include "stats/gram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/half.h"
#include "base/random.h"
#include "kernels/kernels.h"

namespace carat {
namespace {

std::vector<float> random_activations(int64_t tokens, int64_t columns) {
  Random random(7);
  std::vector<float> x(tokens * columns);
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

class Gram : public testing::TestWithParam<ActivationScheme> {};
INSTANTIATE_TEST_SUITE_P(Schemes, Gram,
                         testing::Values(ActivationScheme::float32, ActivationScheme::bfloat16),
                         [](const auto& p) { return std::string(activation_scheme_name(p.param)); });

TEST_P(Gram, IsTheSumOfOuterProducts) {
  ThreadPool pool(2);
  for (const int64_t columns : {1, 15, 16, 70, 129, 300}) {
    for (const int64_t tokens : {1, 33, 300, static_cast<int>(kGramTokens) + 5}) {
      auto x = random_activations(tokens, columns);
      std::vector<float> h(columns * columns, 1);
      accumulate_gram(pool, **default_kernel_table(), GetParam(), x.data(), tokens, columns, h.data());
      if (GetParam() == ActivationScheme::bfloat16)
        for (float& v : x) v = bf16_to_float(float_to_bf16(v));
      for (int64_t i = 0; i < columns; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          double expected = 1, scale = 1;
          for (int64_t t = 0; t < tokens && j <= i; ++t) {
            const double product = double{x[t * columns + i]} * x[t * columns + j];
            expected += product;
            scale += std::abs(product);
          }
          ASSERT_NEAR(h[i * columns + j], expected, 3e-6 * scale) << columns << ", " << i << ", " << j;
        }
      }
    }
  }
}

TEST_P(Gram, OfTwoSetsIsTheSumOfTheirOuterProducts) {
  ThreadPool pool(2);
  struct Shape {
    int64_t rows, columns;
  };
  for (const auto [rows, columns] : {Shape{1, 1}, {70, 15}, {15, 70}, {300, 129}, {129, 300}, {64, 64}}) {
    for (const int64_t tokens : {1, 33, static_cast<int>(kGramTokens) + 5}) {
      auto a = random_activations(tokens, rows), b = random_activations(tokens + 1, columns);
      b.erase(b.begin(), b.begin() + columns);
      std::vector<float> h(rows * columns, 1);
      accumulate_cross_gram(pool, **default_kernel_table(), GetParam(), a.data(), b.data(), tokens, rows,
                            columns, h.data());
      if (GetParam() == ActivationScheme::bfloat16)
        for (auto* x : {&a, &b})
          for (float& v : *x) v = bf16_to_float(float_to_bf16(v));
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          double expected = 1, scale = 1;
          for (int64_t t = 0; t < tokens; ++t) {
            const double product = double{a[t * rows + i]} * b[t * columns + j];
            expected += product;
            scale += std::abs(product);
          }
          ASSERT_NEAR(h[i * columns + j], expected, 3e-6 * scale) << rows << ", " << i << ", " << j;
        }
      }
    }
  }
}

TEST_P(Gram, SameBitsForAnyThreadsAndWholeBlocks) {
  const int64_t columns = 100, tokens = 2 * kGramTokens + 77;
  const auto x = random_activations(tokens, columns);
  const KernelTable& kernels = **default_kernel_table();
  const auto gram = [&](int threads, int64_t at_once) {
    ThreadPool pool(threads);
    std::vector<float> h(columns * columns);
    for (int64_t t = 0; t < tokens; t += at_once)
      accumulate_gram(pool, kernels, GetParam(), x.data() + t * columns, std::min(at_once, tokens - t),
                      columns, h.data());
    return h;
  };
  const auto all = gram(1, tokens);
  EXPECT_EQ(gram(3, tokens), all);
  EXPECT_EQ(gram(2, kGramTokens), all);
}

TEST(MirrorGram, MirrorsTheLowerTriangle) {
  ThreadPool pool(2);
  const int64_t columns = 150;
  std::vector<float> h(columns * columns);
  for (int64_t i = 0; i < columns; ++i)
    for (int64_t j = 0; j <= i; ++j) h[i * columns + j] = static_cast<float>(1000 * i + j);
  mirror_gram(pool, h.data(), columns);
  for (int64_t i = 0; i < columns; ++i)
    for (int64_t j = 0; j < columns; ++j)
      ASSERT_EQ(h[i * columns + j], static_cast<float>(1000 * std::max(i, j) + std::min(i, j)));
}

}  // namespace
}  // namespace carat
