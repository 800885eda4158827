// Exhaustive over all 65,536 codes of both formats, and rounding against exact arithmetic in double.
#include "base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"

namespace carat {
namespace {

/// The value of an f16 code from its definition.
double f16_value(uint16_t h) {
  const int exponent = (h >> 10) & 31;
  const int mantissa = h & 1023;
  const double sign = h & 0x8000 ? -1.0 : 1.0;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(half, every_f16_code_decodes_to_its_definition_and_back) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float f = f16_to_float(static_cast<uint16_t>(h));
    if ((h & 0x7c00) == 0x7c00) {
      EXPECT_TRUE(h & 0x3ff ? (std::isnan(f) && std::isnan(f16_to_float(float_to_f16(f))))
                            : (std::isinf(f) && float_to_f16(f) == h))
          << h;
      continue;
    }
    ASSERT_EQ(static_cast<double>(f), f16_value(static_cast<uint16_t>(h))) << h;
    ASSERT_EQ(float_to_f16(f), h);
  }
}

TEST(half, every_bf16_code_round_trips) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float f = bf16_to_float(static_cast<uint16_t>(h));
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(f)))) << h;
    } else {
      ASSERT_EQ(float_to_bf16(f), h);
    }
  }
}

TEST(half, f16_rounds_to_nearest_even_between_every_pair_of_neighbours) {
  for (uint32_t h = 0; h < 0x7bff; ++h) {
    const double low = f16_value(static_cast<uint16_t>(h)), high = f16_value(static_cast<uint16_t>(h + 1));
    const float middle = static_cast<float>((low + high) / 2);  // exact: one more bit
    const uint16_t even = static_cast<uint16_t>(h & 1 ? h + 1 : h);
    ASSERT_EQ(float_to_f16(middle), even) << h;
    ASSERT_EQ(float_to_f16(-middle), even | 0x8000) << h;
    ASSERT_EQ(float_to_f16(std::nextafterf(middle, 0.0f)), h);
    ASSERT_EQ(float_to_f16(std::nextafterf(middle, 1e30f)), h + 1);
  }
}

TEST(half, f16_overflows_to_infinity_from_65520) {
  EXPECT_EQ(float_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(float_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_f16(-std::numeric_limits<float>::max()), 0xfc00);
}

TEST(half, bf16_rounds_to_nearest_even) {
  Random random(1);
  for (int i = 0; i < 200000; ++i) {
    const uint32_t u = static_cast<uint32_t>(random.next());
    const float f = std::bit_cast<float>(u);
    if (!std::isfinite(f) || std::abs(f) > 1e38f || std::abs(f) < 1e-38f) continue;
    const uint16_t h = float_to_bf16(f);
    const double error = std::abs(static_cast<double>(bf16_to_float(h)) - f);
    for (int step : {-1, 1}) {
      const double other = std::abs(static_cast<double>(bf16_to_float(static_cast<uint16_t>(h + step))) - f);
      ASSERT_LE(error, other) << u;
      if (error == other) {
        ASSERT_EQ(h & 1, 0) << u;
      }
    }
  }
}

}  // namespace
}  // namespace carat
