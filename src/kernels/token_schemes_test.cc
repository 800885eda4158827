// Activations rounded with one scale per token, with and without their outliers: every product against sums
// in double, and bit for bit against itself.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/outliers.h"
#include "kernels/testing.h"

namespace carat {
namespace {

constexpr int64_t kRows = 37, kColumns = 768, kTokens = 9;

/// Some tokens have outliers, in the columns of others and in columns of their own, some have none.
std::vector<float> activations_with_outliers() {
  std::vector<float> x = random_floats(static_cast<size_t>(kTokens * kColumns), 5);
  for (float& v : x) v = std::fmod(v, 5.5f);
  for (int64_t t = 0; t < kTokens; t += 2)
    for (int64_t c = 3; c < kColumns; c += 190 + t)
      x[static_cast<size_t>(t * kColumns + c)] = (c % 2 ? 40.0f : -60.0f) - static_cast<float>(t);
  x[1 * kColumns + 7] = kOutlier;  // the threshold itself is one
  for (int64_t c = 0; c < kColumns; ++c)
    x[static_cast<size_t>(3 * kColumns + c)] *= 0.01f;  // small throughout,
  x[3 * kColumns + 50] = 3;                             // with a tail
  return x;
}

struct Weights {
  const Encoding* encoding;
  std::vector<uint8_t> bytes;
  WeightView view() const { return {encoding, bytes.data(), kRows, kColumns, encoding->row_bytes(kColumns)}; }
};

std::vector<Weights> all_weights() {
  return {{&encoding_of<Q8_0>(), random_weights<Q8_0>(kRows, kColumns, 7)},
          {&encoding_of<Q4_1>(), random_weights<Q4_1>(kRows, kColumns, 8)},
          {&encoding_of<Q4_K>(), random_weights<Q4_K>(kRows, kColumns, 9)},
          {&encoding_of<Q2_K>(), random_weights<Q2_K>(kRows, kColumns, 10)},
          {&encoding_of<NVFP4>(), random_weights<NVFP4>(kRows, kColumns, 11)},
          {&encoding_of<F16>(), random_weights<F16>(kRows, kColumns, 12)}};
}

std::vector<float> product(const KernelTable& k, ThreadPool& pool, ActivationScheme scheme, const Weights& w,
                           const float* x, int64_t tokens) {
  std::vector<float> y(static_cast<size_t>(tokens * kRows), NAN);
  const MatmulTarget target{w.view(), y.data(), kRows};
  matmul(k, pool, scheme, {&target, 1}, x, kColumns, tokens);
  return y;
}

/// What a token's activations become, in double; `split`: outliers stay as they are and do not count for the
/// scale.
std::vector<double> rounded(const float* x, bool split) {
  double squares = 0, below = 0;
  for (int64_t c = 0; c < kColumns; ++c)
    if (std::fabs(x[c]) < 6) squares += double{x[c]} * x[c], ++below;
  const double threshold = std::min(6.0, 6 * std::sqrt(squares / below));
  const auto is_out = [&](float v) { return split && std::fabs(v) >= threshold; };
  float largest = 0;
  for (int64_t c = 0; c < kColumns; ++c)
    if (!is_out(x[c])) largest = std::max(largest, std::fabs(x[c]));
  std::vector<double> a;
  for (int64_t c = 0; c < kColumns; ++c)
    a.push_back(is_out(x[c]) ? double{x[c]}
                             : double{std::nearbyintf(x[c] * (127.0f / largest))} * double{largest / 127.0f});
  return a;
}

TEST(TokenSchemes, ProductsAreTheExactSumsOfWhatTheSchemeSays) {
  ThreadPool pool(2);
  const std::vector<float> x = activations_with_outliers();
  for (const Weights& w : all_weights())
    for (const bool split : {false, true})
      for (const KernelTable* k : all_tables()) {
        const auto scheme = split ? ActivationScheme::int8_token_outliers : ActivationScheme::int8_token;
        const auto y = product(*k, pool, w.encoding->is_float ? everywhere(scheme, false) : scheme, w,
                               x.data(), kTokens);
        std::vector<float> row(kColumns);
        for (int64_t r = 0; r < kRows; ++r) {
          w.encoding->decode(w.bytes.data() + r * static_cast<int64_t>(w.view().row_bytes), row.data(),
                             kColumns);
          for (int64_t t = 0; t < kTokens; ++t) {
            const auto a = rounded(&x[static_cast<size_t>(t * kColumns)], split);
            double sum = 0, magnitude = 0;
            for (size_t c = 0; c < a.size(); ++c) {
              sum += row[c] * a[c];
              magnitude += std::fabs(row[c] * a[c]);
            }
            // Q4_1 and the like add what cancels: twice the level and the offset.
            ASSERT_NEAR(y[static_cast<size_t>(t * kRows + r)], sum, 4e-6 * magnitude + 1e-6)
                << w.encoding->name << " " << isa_name(k->isa) << " token " << t << " row " << r << " split "
                << split;
          }
        }
      }
}

TEST(TokenSchemes, BitsDependOnNeitherInstructionSetNorThreadsNorBatch) {
  ThreadPool one(1), three(3);
  const std::vector<float> x = activations_with_outliers();
  for (const Weights& w : all_weights())
    for (const auto scheme :
         {ActivationScheme::int8_token, ActivationScheme::int8_token_outliers,
          ActivationScheme::int8_token_everywhere, ActivationScheme::int8_token_outliers_everywhere}) {
      const auto expected = product(portable_table(), one, scheme, w, x.data(), kTokens);
      for (const KernelTable* k : all_tables()) {
        ASSERT_TRUE(same_bits(product(*k, three, scheme, w, x.data(), kTokens), expected))
            << w.encoding->name << " " << isa_name(k->isa);
        for (int64_t t = 0; t < kTokens; ++t) {
          const auto alone = product(*k, one, scheme, w, x.data() + t * kColumns, 1);
          ASSERT_EQ(
              std::memcmp(alone.data(), &expected[static_cast<size_t>(t * kRows)], kRows * sizeof(float)), 0)
              << w.encoding->name << " " << isa_name(k->isa) << " token " << t;
        }
      }
    }
}

TEST(TokenSchemes, WhatIsNotFiniteReachesEveryOutput) {
  ThreadPool pool(1);
  std::vector<float> x = activations_with_outliers();
  x[5] = NAN;
  x[kColumns + 5] = INFINITY;
  for (const Weights& w : all_weights())
    for (const auto scheme : {ActivationScheme::int8_token, ActivationScheme::int8_token_outliers})
      for (const KernelTable* k : all_tables()) {
        const auto y = product(*k, pool, scheme, w, x.data(), 2);
        for (const float v : y) ASSERT_FALSE(std::isfinite(v)) << w.encoding->name << " " << isa_name(k->isa);
      }
}

TEST(TokenSchemes, NamesLeadBackToThem) {
  for (const auto scheme : {ActivationScheme::int8_block, ActivationScheme::int8_token,
                            ActivationScheme::int8_token_outliers, ActivationScheme::float32})
    EXPECT_EQ(find_activation_scheme(activation_scheme_name(scheme)), scheme);
  EXPECT_EQ(find_activation_scheme("int4"), std::nullopt);
}

}  // namespace
}  // namespace carat
