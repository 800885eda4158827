// Error feedback: against the definition in double, and what must hold for every encoding.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "encodings/all.h"
#include "rounders/hessian_testing.h"
#include "rounders/rounder.h"

namespace carat {
namespace {

constexpr int64_t kColumns = 512;

std::vector<float> some_weights(int64_t rows, int64_t columns, uint64_t seed) {
  Random random(seed);
  std::vector<float> w;
  for (int64_t i = 0; i < rows * columns; ++i)
    w.push_back(static_cast<float>(0.03 * (random.uniform() < 0.002 ? 8 : 1) * random.normal()));
  return w;
}

/// The same for every encoding.
const std::vector<float>& shared_hessian() {
  static const std::vector<float> hessian = typical_hessian(kColumns, 1500, 1);
  return hessian;
}

struct Job {
  const Encoding* encoding = nullptr;
  std::vector<float> weights;
  int64_t columns = kColumns;
  const FeedbackFactor* feedback = nullptr;
  std::string_view rounder = "gptq";
  std::vector<float> importance = {};
  Isa isa = available_isas().front();
  int threads = 1;

  struct Rounded {
    std::vector<uint8_t> bytes;
    RoundingError error;
  };
  int64_t rows() const { return static_cast<int64_t>(weights.size()) / columns; }
  Result<Rounded> run(int64_t first, int64_t last) const {
    ThreadPool pool(threads);
    Cancellation never;
    Progress silent;
    KernelTable kernels;
    kernels.isa = isa;
    Rounded r;
    r.bytes.assign(static_cast<size_t>(last - first) * encoding->row_bytes(columns), 0xee);
    const SourceRows source{&encoding_f32(),
                            reinterpret_cast<const uint8_t*>(weights.data() + first * columns), last - first,
                            columns};
    CARAT_TRY(r.error, find_rounder(rounder)->round({pool, never, silent}, kernels, *encoding, source,
                                                    {importance, feedback}, r.bytes.data()));
    return r;
  }
  Rounded run() const { return *run(0, rows()); }
  std::vector<float> decode(const std::vector<uint8_t>& bytes) const {
    std::vector<float> values(weights.size());
    for (int64_t i = 0; i < rows(); ++i)
      encoding->decode(bytes.data() + static_cast<size_t>(i) * encoding->row_bytes(columns),
                       values.data() + i * columns, columns);
    return values;
  }
  /// tr(D H D^T), in double.
  double loss(const std::vector<uint8_t>& bytes, const std::vector<double>& h) const {
    const auto q = decode(bytes);
    double sum = 0;
    for (int64_t r = 0; r < rows(); ++r)
      for (int64_t i = 0; i < columns; ++i) {
        double inner = 0;
        for (int64_t j = 0; j < columns; ++j) {
          const auto at = static_cast<size_t>(r * columns + j);
          inner += h[static_cast<size_t>(i * columns + j)] * (static_cast<double>(weights[at]) - q[at]);
        }
        const auto at = static_cast<size_t>(r * columns + i);
        sum += inner * (static_cast<double>(weights[at]) - q[at]);
      }
    return sum;
  }
};

std::vector<const Encoding*> block_encodings() {
  std::vector<const Encoding*> list;
  for (const Encoding* e : all_encodings())
    if (!e->is_float) list.push_back(e);
  for (const char* name :
       {"INT2_G64", "INT3_G128", "INT4_G32", "INT4_G128", "INT4_G512", "INT8_CHANNEL", "INT2_ASYM_G32",
        "INT3_ASYM_G64", "INT4_ASYM_G128", "INT8_ASYM_G128", "INT4_ASYM_CHANNEL", "FP8_CHANNEL", "NF4"})
    list.push_back(find_encoding(name));
  return list;
}
class Gptq : public testing::TestWithParam<const Encoding*> {};
INSTANTIATE_TEST_SUITE_P(Rounders, Gptq, testing::ValuesIn(block_encodings()),
                         [](const auto& p) { return std::string(p.param->name); });

/// Those that the encoding of the test has codes for.
std::vector<ColumnOrder> orders() {
  if (Gptq::GetParam()->atom > 1) return {ColumnOrder::natural};
  return {ColumnOrder::natural, ColumnOrder::descending, ColumnOrder::grouped};
}

/// For the encoding of the test.
FeedbackOptions with_order(ColumnOrder order, FeedbackOptions options = {}) {
  options.order = order;
  options.block = Gptq::GetParam()->block, options.leaf = Gptq::GetParam()->leaf;
  return options;
}

TEST_P(Gptq, LosesLessThanTheSearchUnderTheHessianAndKnowsHowMuch) {
  const auto& hessian = shared_hessian();
  const auto m = regularised(hessian, kColumns, 0.1, 0.01);
  for (const ColumnOrder order : orders()) {
    const auto factor = *factor_of(hessian, kColumns, with_order(order, {.shrink = 0.1, .damp = 0.01}));
    Job job{.encoding = GetParam(), .weights = some_weights(21, kColumns, 2), .feedback = &factor};
    const auto gptq = job.run();
    const double loss = job.loss(gptq.bytes, m);
    EXPECT_NEAR(gptq.error.feedback_error, loss, 2e-4 * loss) << static_cast<int>(order);
    job.rounder = "search";
    for (int64_t c = 0; c < kColumns; ++c)
      job.importance.push_back(hessian[static_cast<size_t>(c * kColumns + c)]);
    const auto searched = job.run();
    const double search = job.loss(searched.bytes, m);
    EXPECT_LT(loss, 0.8 * search) << static_cast<int>(order);
    // What the factor says of other codes than its own.
    std::vector<float> difference = job.decode(searched.bytes);
    for (size_t i = 0; i < difference.size(); ++i) difference[i] = job.weights[i] - difference[i];
    ThreadPool pool(2);
    Cancellation never;
    Progress silent;
    EXPECT_NEAR(factored_loss({pool, never, silent}, factor, difference), search, 2e-4 * search);
  }
}

// Columns that have nothing to do with each other, and count alike.
TEST_P(Gptq, IdentityGivesTheBytesOfTheSearch) {
  std::vector<float> identity(kColumns * kColumns);
  for (int64_t c = 0; c < kColumns; ++c) identity[static_cast<size_t>(c * kColumns + c)] = 3;
  Job job{.encoding = GetParam(), .weights = some_weights(70, kColumns, 3)};
  job.rounder = "search";
  const auto expected = job.run().bytes;
  job.rounder = "gptq";
  for (const ColumnOrder order : orders()) {
    const auto factor = *factor_of(identity, kColumns, with_order(order));
    job.feedback = &factor;
    EXPECT_EQ(job.run().bytes, expected);
  }
  // Nor do they where the Hessian is diagonal, but then some count more.
  for (int64_t c = 0; c < kColumns; ++c) {
    identity[static_cast<size_t>(c * kColumns + c)] = static_cast<float>(c % 7 + 1);
    job.importance.push_back(static_cast<float>(c % 7 + 1));
  }
  job.rounder = "search";
  const auto weighted = job.run().bytes;
  job.rounder = "gptq";
  for (const ColumnOrder order : orders()) {
    const auto factor = *factor_of(identity, kColumns, with_order(order, {.damp = 0}));
    job.feedback = &factor;
    EXPECT_EQ(job.run().bytes, weighted) << static_cast<int>(order);
  }
}

TEST_P(Gptq, BytesDependOnNeitherInstructionSetNorThreadsNorSlabs) {
  const int64_t columns = GetParam()->fits(352) ? 352 : 512;
  const auto hessian = columns == kColumns ? shared_hessian() : typical_hessian(columns, 500, 4);
  for (const ColumnOrder order : orders()) {
    const auto factor = *factor_of(hessian, columns, with_order(order));
    Job job{.encoding = GetParam(),
            .weights = some_weights(77, columns, 5),
            .columns = columns,
            .feedback = &factor,
            .isa = Isa::portable};
    const auto expected = job.run();
    for (Isa isa : available_isas())
      for (int threads : {1, 3}) {
        job.isa = isa, job.threads = threads;
        const auto got = job.run();
        ASSERT_EQ(got.bytes, expected.bytes) << isa_name(isa) << threads << static_cast<int>(order);
        ASSERT_EQ(got.error.feedback_error, expected.error.feedback_error);
        std::vector<uint8_t> pieces;
        for (int64_t first = 0; first < job.rows(); first += 5) {
          const auto part = job.run(first, std::min<int64_t>(first + 5, job.rows()));
          pieces.insert(pieces.end(), part->bytes.begin(), part->bytes.end());
        }
        ASSERT_EQ(pieces, expected.bytes) << isa_name(isa) << threads << static_cast<int>(order);
      }
  }
}

TEST_P(Gptq, HessiansOfLowRankAndDeadColumnsAreRoundedUnder) {
  auto hessian = typical_hessian(kColumns, 30, 6);
  for (int64_t dead = 40; dead < 80; ++dead)
    for (int64_t i = 0; i < kColumns; ++i)
      hessian[static_cast<size_t>(dead * kColumns + i)] = hessian[static_cast<size_t>(i * kColumns + dead)] =
          0;
  for (const double shrink : {0.0, 0.4}) {
    const auto factor = *factor_of(hessian, kColumns, {.shrink = shrink});
    EXPECT_EQ(factor.dead_columns, 40);
    const Job job{.encoding = GetParam(), .weights = some_weights(9, kColumns, 7), .feedback = &factor};
    const auto rounded = job.run();
    for (float q : job.decode(rounded.bytes)) ASSERT_TRUE(std::isfinite(q));
    EXPECT_LT(rounded.error.relative(), 0.5) << shrink;
  }
}

TEST_P(Gptq, ZerosStayZeroAndWhatIsNotFiniteSpoilsItsRowOnly) {
  const auto factor = *factor_of(shared_hessian(), kColumns, {});
  Job job{.encoding = GetParam(), .weights = std::vector<float>(4 * kColumns), .feedback = &factor};
  for (float q : job.decode(job.run().bytes)) ASSERT_EQ(q, 0.0f);

  job.weights = some_weights(4, kColumns, 9);
  const auto clean = job.run();
  job.weights[5] = std::numeric_limits<float>::quiet_NaN();
  job.weights[kColumns + 300] = -std::numeric_limits<float>::infinity();
  const auto spoilt = job.run();
  EXPECT_EQ(spoilt.error.not_finite, 2u);
  for (float q : job.decode(spoilt.bytes)) ASSERT_TRUE(std::isfinite(q));
  const size_t row = job.encoding->row_bytes(kColumns);
  EXPECT_EQ(std::memcmp(spoilt.bytes.data() + 2 * row, clean.bytes.data() + 2 * row, 2 * row), 0);
}

TEST_P(Gptq, AnyFiniteMagnitudeGivesFiniteValues) {
  const auto factor = *factor_of(shared_hessian(), kColumns, {});
  for (int exponent = -149; exponent <= 127; exponent += 12) {
    Job job{.encoding = GetParam(), .weights = some_weights(3, kColumns, 11), .feedback = &factor};
    for (float& w : job.weights) w = std::ldexp(std::clamp(w * 10, -1.0f, 1.0f), exponent);
    for (float q : job.decode(job.run().bytes)) ASSERT_TRUE(std::isfinite(q)) << exponent;
  }
}

TEST(GptqRounder, ColumnsThatShareACodeStayTogether) {
  const auto factor = *factor_of(shared_hessian(), kColumns, {.order = ColumnOrder::descending});
  Job job{.encoding = find_encoding("IQ2_XS"), .weights = some_weights(2, kColumns, 12), .feedback = &factor};
  const auto refused = job.run(0, 2);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::usage);
  EXPECT_NE(refused.error().message.find("natural"), std::string::npos);
}

TEST(GptqRounder, WithoutAHessianOfItsColumnsItRefuses) {
  Job job{.encoding = find_encoding("Q4_K"), .weights = some_weights(2, kColumns, 12)};
  const auto none = job.run(0, 2);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::usage);
  EXPECT_NE(none.error().message.find("--text"), std::string::npos);
  const auto factor = *factor_of(typical_hessian(256, 900, 13), 256, {});
  job.feedback = &factor;
  EXPECT_FALSE(job.run(0, 2));
  EXPECT_TRUE(find_rounder("gptq")->needs_feedback());
  EXPECT_FALSE(find_rounder("gptq")->supports(encoding_f16()));
}

}  // namespace
}  // namespace carat
