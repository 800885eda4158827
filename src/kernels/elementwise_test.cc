#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/generic/prelude.h"
#include "kernels/testing.h"
//
#include "simd/portable.h"
//
#include "kernels/generic/elementwise.h"

namespace carat {
namespace {

constexpr int64_t kLengths[] = {1, 2, 15, 16, 17, 31, 32, 33, 64, 100, 576, 1037};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

double ulp(double x) { return std::ldexp(1.0, std::ilogb(x) - 23); }

TEST(Exp, IsWithinTwoUnitsInTheLastPlace) {
  double worst = 0;
  for (float x = -87.25f; x < 88.0f; x += 0.00137f) {
    alignas(64) float out[16];
    PortableSimd::store(Elementwise<PortableSimd>::exp(PortableSimd::set(x)), out);
    const double exact = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::fabs(out[0] - exact) / ulp(exact));
  }
  EXPECT_LT(worst, 2.0);
}

TEST(Exp, Ends) {
  const auto exp = [](float x) {
    alignas(64) float out[16];
    PortableSimd::store(Elementwise<PortableSimd>::exp(PortableSimd::set(x)), out);
    return out[0];
  };
  EXPECT_EQ(exp(0.0f), 1.0f);
  EXPECT_EQ(exp(-0.0f), 1.0f);
  EXPECT_EQ(exp(-87.4f), 0.0f);
  EXPECT_EQ(exp(-kInfinity), 0.0f);
  EXPECT_GT(exp(-87.3f), 0.0f);
  EXPECT_EQ(exp(kInfinity), exp(88.0f));
  EXPECT_TRUE(std::isfinite(exp(88.0f)));
  EXPECT_TRUE(std::isnan(exp(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Elementwise, RmsNorm) {
  for (int64_t n : kLengths) {
    const auto count = static_cast<size_t>(n);
    const auto x = random_floats(3 * count, 1), gain = random_floats(count, 2);
    std::vector<float> expected(3 * count);
    rms_norm(portable_table(), x.data(), gain.data(), 1e-5f, 3, n, expected.data());
    for (size_t r = 0; r < 3; ++r) {
      double squares = 0;
      for (size_t i = 0; i < count; ++i) squares += double{x[r * count + i]} * x[r * count + i];
      const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + double{1e-5f});
      for (size_t i = 0; i < count; ++i) {
        const double exact = x[r * count + i] * factor * gain[i];
        EXPECT_NEAR(expected[r * count + i], exact,
                    (static_cast<double>(n) / 16 + 12) * 0x1p-24 * std::fabs(exact));
      }
    }
    for (const KernelTable* k : all_tables()) {
      auto y = x;  // in place
      rms_norm(*k, y.data(), gain.data(), 1e-5f, 3, n, y.data());
      EXPECT_TRUE(same_bits(y, expected)) << isa_name(k->isa) << " " << n;
    }
  }
}

TEST(Elementwise, LayerNorm) {
  for (int64_t n : kLengths)
    for (const bool biased : {false, true}) {
      const auto count = static_cast<size_t>(n);
      auto x = random_floats(3 * count, 1);
      for (float& v : x) v += 3.0f;
      const auto gain = random_floats(count, 2), offsets = random_floats(count, 3);
      const float* bias = biased ? offsets.data() : nullptr;
      std::vector<float> expected(3 * count);
      layer_norm(portable_table(), x.data(), gain.data(), bias, 1e-5f, 3, n, expected.data());
      for (size_t r = 0; r < 3; ++r) {
        const float* row = &x[r * count];
        const double mean = std::accumulate(row, row + count, 0.0) / static_cast<double>(n);
        double squares = 0;
        for (size_t i = 0; i < count; ++i) squares += (row[i] - mean) * (row[i] - mean);
        const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + double{1e-5f});
        for (size_t i = 0; i < count; ++i)
          EXPECT_NEAR(expected[r * count + i], (row[i] - mean) * factor * gain[i] + (biased ? offsets[i] : 0),
                      n < 3 ? 1e-3 : 3e-5);
      }
      for (const KernelTable* k : all_tables()) {
        auto y = x;  // in place
        layer_norm(*k, y.data(), gain.data(), bias, 1e-5f, 3, n, y.data());
        EXPECT_TRUE(same_bits(y, expected)) << isa_name(k->isa) << " " << n;
      }
    }
}

TEST(Elementwise, GeluAndSoftcap) {
  const float cap = 2.5f;
  for (int64_t n : kLengths) {
    const auto x = random_floats(static_cast<size_t>(n), 3, 4.0f);
    auto activated = x, bounded = x;
    gelu(portable_table(), activated.data(), n);
    softcap(portable_table(), bounded.data(), cap, n);
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = x[i];
      EXPECT_NEAR(activated[i], v / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))),
                  2e-6);
      EXPECT_NEAR(bounded[i], cap * std::tanh(v / cap), 8 * 0x1p-24 * cap);
    }
    for (const KernelTable* k : all_tables()) {
      auto y = x;
      gelu(*k, y.data(), n);
      EXPECT_TRUE(same_bits(y, activated)) << isa_name(k->isa) << " " << n;
      y = x;
      softcap(*k, y.data(), cap, n);
      EXPECT_TRUE(same_bits(y, bounded)) << isa_name(k->isa) << " " << n;
    }
  }
}

TEST(Elementwise, SoftcapOfTheExtremes) {
  for (const KernelTable* k : all_tables()) {
    std::vector<float> x = {1e30f,      -1e30f, kInfinity,
                            -kInfinity, 0.0f,   std::numeric_limits<float>::quiet_NaN()};
    softcap(*k, x.data(), 30.0f, 6);
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(x[i], i % 2 ? -30.0f : 30.0f) << isa_name(k->isa) << " " << i;
    EXPECT_EQ(x[4], 0.0f);
    EXPECT_TRUE(std::isnan(x[5]));
  }
}

TEST(Elementwise, SiluAddAndBias) {
  for (int64_t n : kLengths) {
    const auto count = static_cast<size_t>(n);
    const auto gate = random_floats(count, 3, 4.0f), up = random_floats(count, 4);
    auto expected = gate;
    silu_mul(portable_table(), expected.data(), up.data(), n);
    for (size_t i = 0; i < count; ++i) {
      const double exact = gate[i] / (1 + std::exp(-double{gate[i]})) * up[i];
      EXPECT_NEAR(expected[i], exact, 8 * 0x1p-24 * std::fabs(exact));
    }
    for (const KernelTable* k : all_tables()) {
      auto y = gate;
      silu_mul(*k, y.data(), up.data(), n);
      EXPECT_TRUE(same_bits(y, expected)) << isa_name(k->isa) << " " << n;
      y = gate;
      add(*k, y.data(), up.data(), n);
      for (size_t i = 0; i < count; ++i) EXPECT_EQ(y[i], gate[i] + up[i]);
      auto rows = random_floats(2 * count, 5);
      const auto before = rows;
      add_bias(*k, rows.data(), up.data(), 2, n);
      for (size_t i = 0; i < 2 * count; ++i) EXPECT_EQ(rows[i], before[i] + up[i % count]);
    }
  }
}

TEST(Elementwise, SiluOfTheExtremes) {
  for (const KernelTable* k : all_tables()) {
    std::vector<float> gate = {1e30f, -1e30f, -100.0f, 0.0f, std::numeric_limits<float>::quiet_NaN()};
    const std::vector<float> up(5, 1.0f);
    silu_mul(*k, gate.data(), up.data(), 5);
    EXPECT_EQ(gate[0], 1e30f);
    EXPECT_NEAR(gate[2], 0.0f, 1e-30f);
    EXPECT_EQ(gate[3], 0.0f);
    EXPECT_TRUE(std::isnan(gate[4]));
  }
}

TEST(Elementwise, Rope) {
  for (int rotary : {2, 8, 20, 32, 34, 64, 128})
    for (bool interleaved : {false, true}) {
      const int heads = 3, head_dim = rotary + 6;
      const int64_t tokens = 2, stride = heads * head_dim + 7;
      const auto x = random_floats(static_cast<size_t>(tokens * stride), 6);
      std::vector<float> cos, sin;
      for (int64_t i = 0; i < tokens * rotary / 2; ++i) {
        cos.push_back(std::cos(static_cast<float>(i)));
        sin.push_back(std::sin(static_cast<float>(i)));
      }
      for (const KernelTable* k : all_tables()) {
        auto y = x;
        rope(*k, y.data(), stride, tokens, heads, head_dim, rotary, cos.data(), sin.data(), interleaved);
        auto expected = x;
        for (int64_t t = 0; t < tokens; ++t)
          for (int h = 0; h < heads; ++h)
            for (int i = 0; i < rotary / 2; ++i) {
              float* head = expected.data() + t * stride + h * head_dim;
              float& a = head[interleaved ? 2 * i : i];
              float& b = head[interleaved ? 2 * i + 1 : rotary / 2 + i];
              const float c = cos[static_cast<size_t>(t * rotary / 2 + i)],
                          s = sin[static_cast<size_t>(t * rotary / 2 + i)];
              const float rotated = std::fma(a, c, 0.0f - b * s);
              b = std::fma(b, c, a * s);
              a = rotated;
            }
        EXPECT_TRUE(same_bits(y, expected)) << isa_name(k->isa) << " " << rotary << " " << interleaved;
      }
    }
}

TEST(Elementwise, LogSumExp) {
  for (int64_t n : kLengths) {
    auto x = random_floats(static_cast<size_t>(n), 8, 5.0f);
    if (n > 40) x[35] = x[20] = 40.0f;  // a tie: the first wins
    const LogSumExp expected = log_sum_exp(portable_table(), x.data(), n);
    double sum = 0;
    size_t best = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      sum += std::exp(double{x[i]});
      if (x[i] > x[best]) best = i;
    }
    EXPECT_NEAR(expected.value, std::log(sum), 4e-7);
    EXPECT_EQ(expected.argmax, static_cast<int64_t>(best));
    for (const KernelTable* k : all_tables()) {
      const LogSumExp r = log_sum_exp(*k, x.data(), n);
      EXPECT_EQ(r.value, expected.value) << isa_name(k->isa);
      EXPECT_EQ(r.argmax, expected.argmax) << isa_name(k->isa);
    }
  }
}

TEST(Elementwise, WeightedDifference) {
  for (int64_t n : kLengths) {
    const auto x = random_floats(static_cast<size_t>(n), 8, 5.0f), y = random_floats(x.size(), 9, 5.0f);
    const float top = *std::max_element(x.begin(), x.end()), shift = 0.75f;
    const double expected = weighted_difference(portable_table(), x.data(), y.data(), top, shift, n);
    double sum = 0, magnitude = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double term = std::exp(double{x[i]} - top) * (double{x[i]} - y[i] - shift);
      sum += term;
      magnitude += std::abs(term);
    }
    EXPECT_NEAR(expected, sum, 1e-6 * (magnitude + 1));
    for (const KernelTable* k : all_tables())
      EXPECT_EQ(weighted_difference(*k, x.data(), y.data(), top, shift, n), expected) << isa_name(k->isa);
  }
}

TEST(Elementwise, LogSumExpOfNegativeLogitsIgnoresThePadding) {
  const std::vector<float> x = {-5.0f, -3.0f, -4.0f};
  for (const KernelTable* k : all_tables()) {
    const LogSumExp r = log_sum_exp(*k, x.data(), 3);
    EXPECT_EQ(r.argmax, 1);
    EXPECT_NEAR(r.value, -3 + std::log(1 + std::exp(-1.0) + std::exp(-2.0)), 1e-6);
  }
}

}  // namespace
}  // namespace carat
