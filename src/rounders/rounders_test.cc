#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/half.h"
#include "base/random.h"
#include "encodings/all.h"
#include "kernels/kernel_table.h"
#include "rounders/rounder.h"

namespace carat {
namespace {

struct Rounded {
  std::vector<uint8_t> bytes;
  RoundingError error;
};

struct Job {
  const Encoding* encoding = nullptr;
  std::string_view rounder = "search";
  std::vector<float> weights;
  int64_t columns = 0;
  std::vector<float> importance = {};
  Isa isa = Isa::portable;
  int threads = 1;

  int64_t rows() const { return static_cast<int64_t>(weights.size()) / columns; }
  Rounded run() const { return run(0, rows()); }
  Rounded run(int64_t first, int64_t last) const {
    ThreadPool pool(threads);
    Cancellation never;
    Progress silent;
    KernelTable kernels;
    kernels.isa = isa;
    Rounded r;
    r.bytes.assign(static_cast<size_t>(last - first) * encoding->row_bytes(columns), 0xee);
    const auto* source = reinterpret_cast<const uint8_t*>(weights.data() + first * columns);
    const SourceRows rows{&encoding_f32(), source, last - first, columns};
    r.error = *find_rounder(rounder)->round({pool, never, silent}, kernels, *encoding, rows,
                                            {.importance = importance}, r.bytes.data());
    return r;
  }
  std::vector<float> decode(const Rounded& r) const {
    std::vector<float> values(weights.size());
    for (int64_t i = 0; i < rows(); ++i)
      encoding->decode(r.bytes.data() + static_cast<size_t>(i) * encoding->row_bytes(columns),
                       values.data() + i * columns, columns);
    return values;
  }
};

/// Weights as models have them: normal, with a scale per column, a few outliers and an offset here and there.
std::vector<float> typical_weights(int64_t rows, int64_t columns, uint64_t seed) {
  Random random(seed);
  std::vector<double> scale(static_cast<size_t>(columns));
  for (auto& s : scale) s = 0.03 * std::exp(0.3 * random.normal());
  std::vector<float> w;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      const double outlier = random.uniform() < 0.002 ? 8.0 : 1.0;
      w.push_back(static_cast<float>(outlier * scale[static_cast<size_t>(c)] * random.normal() +
                                     (r % 7 == 3 ? 0.05 : 0.0)));
    }
  return w;
}

std::vector<float> random_importance(int64_t columns, uint64_t seed) {
  Random random(seed);
  std::vector<float> i;
  for (int64_t c = 0; c < columns; ++c) i.push_back(static_cast<float>(std::exp(2 * random.normal())));
  return i;
}

/// With grouped ones whose groups are of each sort.
std::vector<const Encoding*> tested_encodings() {
  std::vector<const Encoding*> list(all_encodings().begin(), all_encodings().end());
  for (const char* name :
       {"INT2_G32", "INT3_G64", "INT4_G128", "INT8_G128", "INT4_CHANNEL", "INT8_CHANNEL", "INT2_ASYM_G32",
        "INT3_ASYM_G64", "INT4_ASYM_G128", "INT8_ASYM_G128", "INT4_ASYM_CHANNEL", "FP8_CHANNEL", "NF4"})
    list.push_back(find_encoding(name));
  return list;
}
class EachEncoding : public testing::TestWithParam<const Encoding*> {};
INSTANTIATE_TEST_SUITE_P(Rounders, EachEncoding, testing::ValuesIn(tested_encodings()),
                         [](const auto& p) { return std::string(p.param->name); });

std::vector<const Encoding*> block_encodings() {
  std::vector<const Encoding*> list;
  for (const Encoding* e : tested_encodings())
    if (!e->is_float) list.push_back(e);
  return list;
}
class EachBlockEncoding : public EachEncoding {};
INSTANTIATE_TEST_SUITE_P(Rounders, EachBlockEncoding, testing::ValuesIn(block_encodings()),
                         [](const auto& p) { return std::string(p.param->name); });

TEST_P(EachEncoding, SearchLosesNoMoreThanNearestUnderAnyImportance) {
  Job job{.encoding = GetParam(), .weights = typical_weights(35, 512, 1), .columns = 512};
  for (int kind = 0; kind < 3; ++kind) {
    if (kind == 1) job.importance = random_importance(512, 2);
    if (kind == 2)  // most columns do not matter at all
      for (size_t c = 0; c < 512; ++c) job.importance[c] = c % 5 == 0 ? 1.0f : 0.0f;
    job.rounder = "nearest";
    const double nearest = job.run().error.weighted_error;
    job.rounder = "search";
    const double search = job.run().error.weighted_error;
    if (job.encoding->is_float)
      EXPECT_EQ(search, nearest);
    else
      EXPECT_LT(search, (job.encoding->group == kWhole ? 0.99 : 0.97) * nearest) << kind;
  }
}

double absolute_error(const Job& job) {
  const auto q = job.decode(job.run());
  double sum = 0;
  for (size_t i = 0; i < q.size(); ++i) sum += std::fabs(static_cast<double>(job.weights[i]) - q[i]);
  return sum;
}

// What the splitting lowers is the mean error, leaf by leaf; rounding the parameters to their stored form may
// take a little of it back.
TEST_P(EachBlockEncoding, HalfQuadraticSplittingLowersTheMeanErrorOfNearest) {
  if (GetParam()->atom > 1) return;  // is not for codebooks
  Job job{.encoding = GetParam(), .weights = typical_weights(35, 512, 11), .columns = 512};
  job.rounder = "nearest";
  const double nearest = absolute_error(job);
  job.rounder = "hqq";
  EXPECT_LT(absolute_error(job), 1.0005 * nearest);
}

// Without importance the search has fewer candidates, and judges them in 16-bit integers; with importance 1
// everywhere it has more, and judges them in floats. Encodings of one level are allowed their short grids.
TEST_P(EachBlockEncoding, SearchWithoutImportanceIsAsGoodAsWithOnesThatAreEqual) {
  Job job{.encoding = GetParam(), .weights = typical_weights(96, 512, 10), .columns = 512};
  const double even = job.run().error.squared_error;
  job.importance.assign(512, 1.0f);
  const double ones = job.run().error.squared_error;
  EXPECT_LT(even, (job.encoding->block < 256 ? 1.08 : 1.002) * ones);
}

TEST_P(EachEncoding, BytesDependOnNeitherInstructionSetNorThreadsNorSlabs) {
  const Job search{.encoding = GetParam(), .weights = typical_weights(37, 512, 3), .columns = 512};
  Job weighted = search, nearest = search;
  weighted.importance = random_importance(512, 4);
  nearest.rounder = "nearest";
  Job half_quadratic = nearest;
  half_quadratic.rounder = "hqq";
  // A few errors that are large enough to be spared.
  for (size_t i = 0; i < half_quadratic.weights.size(); i += 7) half_quadratic.weights[i] *= 400;
  for (Job job : {search, weighted, nearest, half_quadratic}) {
    const std::string_view rounder = job.rounder;
    if (!find_rounder(rounder)->supports(*GetParam())) continue;
    const Rounded expected = job.run();
    for (Isa isa : available_isas())
      for (int threads : {1, 3}) {
        job.isa = isa, job.threads = threads;
        const Rounded got = job.run();
        ASSERT_EQ(got.bytes, expected.bytes) << rounder << isa_name(isa) << threads;
        ASSERT_EQ(got.error.squared_error, expected.error.squared_error);
        ASSERT_EQ(got.error.weighted_error, expected.error.weighted_error);
        ASSERT_EQ(got.error.max_error, expected.error.max_error);
        std::vector<uint8_t> pieces;
        for (int64_t first = 0; first < job.rows(); first += 5) {
          const auto part = job.run(first, std::min<int64_t>(first + 5, job.rows())).bytes;
          pieces.insert(pieces.end(), part.begin(), part.end());
        }
        ASSERT_EQ(pieces, expected.bytes) << rounder << isa_name(isa) << threads;
      }
  }
}

// The codes must be the nearest ones under the parameters as stored: no other code of the same leaf decodes
// closer to the weight.
template <class E>
void expect_codes_nearest() {
  if constexpr (!E::kFloat && E::kAtom == 1) {
    Job job{.encoding = &encoding_of<E>(), .weights = typical_weights(20, 256, 5), .columns = 256};
    for (std::string_view rounder : {"search", "nearest", "hqq"}) {
      job.rounder = rounder;
      const Rounded r = job.run();
      const float* w = job.weights.data();
      for (size_t at = 0; at < r.bytes.size(); at += sizeof(typename E::Block), w += E::kBlock) {
        typename E::Planes planes;
        typename E::Block block;
        std::memcpy(&block, r.bytes.data() + at, sizeof block);
        E::unpack(block, planes);
        for (int j = 0; j < E::kBlock; ++j) {
          const float scale = leaf_scale<E>(planes, j / E::kLeaf),
                      offset = leaf_offset<E>(planes, j / E::kLeaf);
          const auto distance = [&](int code) {
            return std::fabs(static_cast<double>(w[j]) -
                             (static_cast<double>(scale) * E::level(code) + offset));
          };
          const double chosen = distance(planes.code[static_cast<size_t>(j)]);
          for (int code = 0; code < E::kCodes; ++code)
            ASSERT_LE(chosen, distance(code) + 1e-6 * std::fabs(w[j])) << E::kName << " column " << j;
        }
      }
    }
  }
}
TEST(Rounders, CodesAreTheNearestUnderStoredParameters) {
  AllEncodings::for_each([]<class E>() { expect_codes_nearest<E>(); });
}

// The same of codebooks: no other entry with any signs that can be stored is closer to an atom's weights.
template <class E>
void expect_atoms_nearest() {
  if constexpr (E::kAtom > 1) {
    constexpr int kSignsAt = E::kVectors * E::kEntryBits;
    Job job{.encoding = &encoding_of<E>(), .weights = typical_weights(5, 256, 5), .columns = 256};
    for (std::string_view rounder : {"search", "nearest"}) {
      job.rounder = rounder;
      const Rounded r = job.run();
      const float* w = job.weights.data();
      for (size_t at = 0; at < r.bytes.size(); at += sizeof(typename E::Block), w += E::kBlock) {
        typename E::Planes planes;
        typename E::Block block;
        std::memcpy(&block, r.bytes.data() + at, sizeof block);
        E::unpack(block, planes);
        for (int a = 0; a < E::kAtoms; ++a) {
          const double scale = leaf_scale<E>(planes, a * E::kAtom / E::kLeaf);
          const auto error = [&](uint32_t code) {
            int8_t level[E::kAtom];
            E::expand(code, level);
            double sum = 0;
            for (int j = 0; j < E::kAtom; ++j) {
              const double e = static_cast<double>(w[a * E::kAtom + j]) - scale * level[j];
              sum += e * e;
            }
            return sum;
          };
          const uint32_t chosen = planes.code[static_cast<size_t>(a)];
          const double least = error(chosen) * (1 - 1e-5);
          // One entry at a time with the signs as they are, and all pairs of signs turned.
          for (int v = 0; v < E::kVectors; ++v)
            for (uint32_t entry = 0; entry < E::kEntries; ++entry) {
              const uint32_t code =
                  (chosen & ~((E::kEntries - 1u) << (v * E::kEntryBits))) | entry << (v * E::kEntryBits);
              ASSERT_GE(error(code), least) << E::kName << " atom " << a << " entry " << entry;
            }
          if constexpr (E::kSigns != Signs::shift) {
            for (int i = 0; i < E::kAtom; ++i)
              for (int j = 0; j < i; ++j)
                ASSERT_GE(error(chosen ^ (1u << i | 1u << j) << kSignsAt), least)
                    << E::kName << " atom " << a;
          }
        }
      }
    }
  }
}
TEST(Rounders, AtomsAreTheNearestUnderStoredParameters) {
  AllEncodings::for_each([]<class E>() { expect_atoms_nearest<E>(); });
}

TEST(Rounders, MeasuredErrorIsThatOfTheDecodedValues) {
  for (const Encoding* e : tested_encodings()) {
    Job job{.encoding = e,
            .weights = typical_weights(18, 768, 6),
            .columns = 768,
            .importance = random_importance(768, 7)};
    const Rounded r = job.run();
    const auto q = job.decode(r);
    double squared = 0, weight = 0, weighted = 0, largest = 0;
    for (size_t i = 0; i < q.size(); ++i) {
      const double d = static_cast<double>(job.weights[i]) - q[i];
      squared += d * d;
      weight += static_cast<double>(job.weights[i]) * job.weights[i];
      weighted += job.importance[i % 768] * d * d;
      largest = std::max(largest, std::fabs(d));
    }
    EXPECT_NEAR(r.error.squared_error, squared, 1e-10 * squared) << e->name;
    EXPECT_NEAR(r.error.squared_weight, weight, 1e-10 * weight) << e->name;
    EXPECT_NEAR(r.error.weighted_error, weighted, 1e-10 * weighted) << e->name;
    EXPECT_NEAR(r.error.max_error, largest, 1e-6 * largest) << e->name;
  }
}

TEST_P(EachEncoding, ZerosStayZero) {
  for (std::string_view rounder : {"search", "nearest", "hqq"}) {
    if (!find_rounder(rounder)->supports(*GetParam())) continue;
    const Job job{
        .encoding = GetParam(), .rounder = rounder, .weights = std::vector<float>(512, 0.0f), .columns = 256};
    const Rounded r = job.run();
    for (float q : job.decode(r)) ASSERT_EQ(q, 0.0f);
    EXPECT_EQ(r.error.squared_error, 0.0);
    EXPECT_EQ(r.error.underflows, 0u);
  }
}

// Whatever the magnitudes, what is stored decodes to finite numbers, and a block that is representable to a
// few bits is not thrown away.
TEST_P(EachBlockEncoding, AnyFiniteMagnitudeGivesFiniteValues) {
  for (std::string_view rounder : {"search", "nearest", "hqq"})
    for (int exponent = -149; exponent <= 127; exponent += 3) {
      if (!find_rounder(rounder)->supports(*GetParam())) break;
      Job job{
          .encoding = GetParam(), .rounder = rounder, .weights = typical_weights(3, 256, 8), .columns = 256};
      for (float& w : job.weights) w = std::ldexp(std::clamp(w * 10, -1.0f, 1.0f), exponent);
      const Rounded r = job.run();
      for (float q : job.decode(r)) ASSERT_TRUE(std::isfinite(q)) << exponent;
      EXPECT_EQ(r.error.not_finite, 0u);
      EXPECT_EQ(r.error.overflows, 0u);
      if (exponent >= -10 && exponent <= 14) {
        const double bits = job.encoding->bits_per_weight();
        EXPECT_LT(r.error.relative(), bits < 2.2 ? 0.6 : bits < 2.6 ? 0.3 : 0.2) << rounder << exponent;
      }
    }
}

TEST_P(EachEncoding, NotFiniteInputIsCountedAndSpoilsNothingElse) {
  for (std::string_view rounder : {"search", "nearest", "hqq"}) {
    if (!find_rounder(rounder)->supports(*GetParam())) continue;
    Job job{
        .encoding = GetParam(), .rounder = rounder, .weights = typical_weights(4, 512, 9), .columns = 512};
    const Rounded clean = job.run();
    job.weights[5] = std::numeric_limits<float>::quiet_NaN();
    job.weights[512 + 300] = -std::numeric_limits<float>::infinity();
    const Rounded r = job.run();
    EXPECT_EQ(r.error.not_finite, 2u);
    EXPECT_TRUE(std::isfinite(r.error.squared_error));
    const size_t row = job.encoding->row_bytes(512);  // rows 2 and 3 are untouched
    EXPECT_EQ(std::memcmp(r.bytes.data() + 2 * row, clean.bytes.data() + 2 * row, 2 * row), 0);
    if (job.encoding->is_float) continue;
    for (float q : job.decode(r)) ASSERT_TRUE(std::isfinite(q));
  }
}

TEST(Rounders, FloatConversionsCountWhatTheyLose) {
  const std::vector<float> weights = {1.0f,     1e-9f, -1e-42f, 70000.0f,
                                      -3.4e38f, 0.0f,  -0.0f,   std::numeric_limits<float>::infinity()};
  Job job{.encoding = &encoding_f16(), .weights = weights, .columns = 8};
  const Rounded f16 = job.run();
  EXPECT_EQ(f16.error.underflows, 2u);
  EXPECT_EQ(f16.error.overflows, 2u);
  EXPECT_EQ(f16.error.not_finite, 1u);
  EXPECT_EQ(f16.bytes[0] | f16.bytes[1] << 8, 0x3c00);

  job.encoding = &encoding_bf16();
  const Rounded bf16 = job.run();
  EXPECT_EQ(bf16.error.underflows, 1u);  // 1e-42 is below half of 2^-133
  EXPECT_EQ(bf16.error.overflows, 1u);   // and 3.4e38 above the midpoint of the largest value and 2^128

  job.encoding = &encoding_f32();
  const Rounded f32 = job.run();
  EXPECT_EQ(std::memcmp(f32.bytes.data(), weights.data(), f32.bytes.size()), 0);
  EXPECT_EQ(f32.error.squared_error, 0.0);
}

TEST(Rounders, TheListNamesThem) {
  ASSERT_EQ(all_rounders().size(), 4u);
  EXPECT_EQ(all_rounders().front()->name(), "search");
  EXPECT_EQ(find_rounder("nearest"), all_rounders()[1]);
  EXPECT_EQ(find_rounder("gptq"), all_rounders()[2]);
  EXPECT_EQ(find_rounder("hqq"), all_rounders()[3]);
  EXPECT_EQ(find_rounder("awq"), nullptr);
  for (const Encoding* e : all_encodings()) EXPECT_TRUE(find_rounder("search")->supports(*e));
  EXPECT_FALSE(find_rounder("search")->supports(*find_encoding("Q1_0")));
}

}  // namespace
}  // namespace carat
