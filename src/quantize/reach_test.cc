#include "quantize/reach.h"

#include <cmath>

#include "quantize/testing.h"
#include "rounders/rounder.h"
#include "rounders/shared_scales.h"

namespace carat {
namespace {

using namespace testing;

constexpr int64_t kColumns = 768;  // a whole number of every encoding's blocks

std::vector<const Encoding*> encodings() {
  std::vector<const Encoding*> all;
  for (const auto& some : {all_encodings(), grouped_encodings()})
    for (const Encoding* e : some)
      if (!e->is_float) all.push_back(e);
  for (const char* name :
       {"INT4_CHANNEL", "INT4_ASYM_CHANNEL", "INT2_TENSOR", "INT8_ASYM_TENSOR", "FP8_TENSOR"})
    all.push_back(find_encoding(name));
  return all;
}

TEST(Reach, IsThatOfTheLargestScales) {
  Runner runner;
  const KernelTable& kernels = **default_kernel_table();
  const auto reach = [&](const Encoding& e) {
    const auto r = reach_of(runner.context(), kernels, e, kColumns);
    EXPECT_TRUE(r.ok());
    return *r;
  };
  for (const Encoding* e : encodings()) EXPECT_GT(reach(*e), kLeastReach) << e->name;
  // F16 ends at 65504, and E4M3 at 448.
  const std::pair<const char*, double> known[] = {{"Q8_0", 127 * 65504.0}, {"Q4_1", 65504},
                                                  {"TQ2_0", 65504},        {"INT4_G128", 7 * 65504.0},
                                                  {"INT2_CHANNEL", 65504}, {"INT4_ASYM_G128", 7.5 * 65504},
                                                  {"NVFP4", 448 * 6},      {"MXFP4", 0x1p36},
                                                  {"NF4", 0x1p36},         {"FP8_CHANNEL", 0x1p36}};
  for (const auto& [name, most] : known) EXPECT_EQ(reach(*find_encoding(name)), most) << name;
}

// What is refused for its errors has weights beyond the reach, and what has such weights, of both signs, is.
TEST(Reach, ErrorsAreLargerBeyondItOnly) {
  Runner runner;
  const KernelTable& kernels = **default_kernel_table();
  constexpr int64_t kRows = 3;
  Random random(5);
  std::vector<float> normal(kRows * kColumns), heavy(normal.size()), constant(normal.size(), -0.4f);
  for (size_t i = 0; i < normal.size(); ++i) {
    normal[i] = static_cast<float>(random.normal());
    heavy[i] = static_cast<float>(0.01 * random.normal());
  }
  heavy[300] = 1000, heavy[1000] = -700;
  for (const Encoding* e : encodings()) {
    const auto reach = reach_of(runner.context(), kernels, *e, kColumns);
    ASSERT_TRUE(reach.ok());
    std::vector<uint8_t> stored(static_cast<size_t>(kRows) * e->row_bytes(kColumns));
    const auto largest_error = [&](const Rounder& rounder, std::vector<float> weights, double peak) {
      float largest = 0;
      for (const float x : weights) largest = std::max(largest, std::abs(x));
      for (float& x : weights) x *= static_cast<float>(peak / static_cast<double>(largest));
      const SourceRows source{&encoding_f32(), reinterpret_cast<const uint8_t*>(weights.data()), kRows,
                              kColumns};
      const auto error = round_matrix(runner.context(), kernels, rounder, *e, source, {}, stored.data());
      EXPECT_TRUE(error.ok());
      return error->max_error;
    };
    for (const Rounder* rounder : all_rounders()) {
      if (rounder->needs_feedback() || !rounder->supports(*e)) continue;
      SCOPED_TRACE(fmt::format("{} by {}", e->name, rounder->name()));
      for (const auto& weights : {normal, heavy, constant}) {
        EXPECT_LT(largest_error(*rounder, weights, 100), kLeastReach);
        EXPECT_LE(largest_error(*rounder, weights, *reach), *reach);
      }
      EXPECT_GT(largest_error(*rounder, normal, 4 * *reach), *reach);
    }
  }
}

}  // namespace
}  // namespace carat
