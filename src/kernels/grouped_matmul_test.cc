// Products with grouped encodings: against sums in double, and bit for bit against themselves with other
// threads, batches, row splits and instruction sets.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "encodings/grouped_testing.h"
#include "kernels/testing.h"

namespace carat {
namespace {

constexpr double kEpsilon = 0x1p-24;

template <class E>
struct Problem {
  const Encoding* encoding;
  int64_t rows, columns, tokens;
  std::vector<uint8_t> weights;
  std::vector<float> x;

  Problem(const Encoding* e, int64_t r, int64_t c, int64_t t)
      : encoding(e), rows(r), columns(c), tokens(t), x(random_floats(static_cast<size_t>(t * c), 11)) {
    Random random(7);
    std::vector<uint8_t> row;
    for (int64_t i = 0; i < rows; ++i) {
      testing::random_row<E>(*e, c, random, row);
      weights.insert(weights.end(), row.begin(), row.end());
    }
  }
  WeightView view() const { return {encoding, weights.data(), rows, columns, encoding->row_bytes(columns)}; }
  std::vector<float> product(const KernelTable& k, ThreadPool& pool, ActivationScheme scheme) const {
    std::vector<float> y(static_cast<size_t>(tokens * rows), std::numeric_limits<float>::quiet_NaN());
    const MatmulTarget target{view(), y.data(), rows};
    matmul(k, pool, scheme, {&target, 1}, x.data(), columns, tokens);
    return y;
  }
};

struct Shape {
  int64_t rows, columns, tokens;
};
/// Panels and tiles that are whole, and that are not; rows shorter than what kernels read at a time.
std::vector<Shape> shapes(const Encoding& e) {
  std::vector<Shape> list;
  for (const Shape& s : {Shape{16, 32, 1},
                         {5, 64, 2},
                         {16, 96, 1},
                         {17, 384, 3},
                         {16, 1152, 1},
                         {33, 768, 133},
                         {47, 256, 5},
                         {16, 2304, 2}})
    if (e.fits(s.columns)) list.push_back(s);
  return list;
}

template <class E>
class GroupedMatmul : public ::testing::Test {};
template <class... E>
::testing::Types<E...> as_types(EncodingList<E...>);
struct Names {
  template <class E>
  static std::string GetName(int) {
    return std::string(E::kName);
  }
};
TYPED_TEST_SUITE(GroupedMatmul, decltype(as_types(GroupedKinds{})), Names);

/// Codes and the scale of each 32 columns of a token, rounded in groups of `group` columns.
struct Rounded {
  std::vector<double> value, magnitude;
};
Rounded round_reference(const float* x, int64_t n, int64_t group) {
  Rounded r{std::vector<double>(static_cast<size_t>(n)), std::vector<double>(static_cast<size_t>(n))};
  for (int64_t b = 0; b < n; b += group) {
    const int64_t end = std::min(n, b + group);
    float largest = 0;
    for (int64_t i = b; i < end; ++i) largest = std::max(largest, std::fabs(x[i]));
    for (int64_t i = b; i < end; ++i) {
      const double code = std::nearbyintf(x[i] * (127.0f / largest));
      r.value[static_cast<size_t>(i)] = code * static_cast<double>(largest / 127.0f);
    }
  }
  return r;
}

TYPED_TEST(GroupedMatmul, ProductIsTheExactSumWithinItsBound) {
  using E = TypeParam;
  ThreadPool pool(2);
  for (const Encoding* e : testing::encodings_of_kind<E>())
    for (const Shape& s : shapes(*e)) {
      const Problem<E> problem(e, s.rows, s.columns, s.tokens);
      std::vector<float> w(static_cast<size_t>(s.rows * s.columns));
      e->decode_rows(problem.weights.data(), s.rows, s.columns, w.data());
      for (const KernelTable* k : all_tables()) {
        const bool rounds = k->quantized[e->kind] != nullptr;
        const auto y = problem.product(*k, pool, ActivationScheme::int8_block);
        for (int64_t t = 0; t < s.tokens; t += 1 + t / 4) {
          const float* x = problem.x.data() + t * s.columns;
          Rounded a = round_reference(x, s.columns, 32);
          for (int64_t r = 0; r < s.rows; ++r) {
            double sum = 0, size = 0;
            for (int64_t c = 0; c < s.columns; ++c) {
              const double term = static_cast<double>(w[static_cast<size_t>(r * s.columns + c)]) *
                                  (rounds ? a.value[static_cast<size_t>(c)] : static_cast<double>(x[c]));
              sum += term;
              // A zero point takes away from sums what they gathered: both count.
              size += std::fabs(term);
            }
            const double bound =
                kEpsilon * (static_cast<double>(rounds ? s.columns / 32 : s.columns) + 5) * size;
            ASSERT_NEAR(static_cast<double>(y[static_cast<size_t>(t * s.rows + r)]), sum, bound)
                << isa_name(k->isa) << e->name << " columns " << s.columns << " token " << t << " row " << r;
          }
        }
      }
    }
}

TYPED_TEST(GroupedMatmul, BitsDependOnNeitherInstructionSetNorThreadsNorBatchNorSplit) {
  using E = TypeParam;
  ThreadPool one(1), three(3);
  for (const Encoding* e : testing::encodings_of_kind<E>())
    for (const auto scheme : {ActivationScheme::int8_block, ActivationScheme::float32})
      for (const Shape& s : shapes(*e)) {
        const Problem<E> problem(e, s.rows, s.columns, s.tokens);
        const auto expected = problem.product(portable_table(), one, scheme);
        for (const KernelTable* k : all_tables()) {
          const auto what = ::testing::Message() << isa_name(k->isa) << " " << e->name << " rows " << s.rows
                                                 << " columns " << s.columns << " tokens " << s.tokens;
          ASSERT_TRUE(same_bits(problem.product(*k, three, scheme), expected)) << what;
          const int64_t split = s.rows / 3, stride = s.rows + 5;
          std::vector<float> y(static_cast<size_t>(s.tokens * stride)), gathered;
          for (int64_t t = 0; t < s.tokens; ++t) {
            WeightView top = problem.view(), rest = problem.view();
            top.rows = split;
            rest.data += static_cast<uint64_t>(split) * rest.row_bytes;
            rest.rows -= split;
            float* row = y.data() + t * stride;
            const MatmulTarget targets[] = {{top, row, 1}, {rest, row + split, 1}};
            matmul(*k, three, scheme, targets, problem.x.data() + t * s.columns, s.columns, 1);
            gathered.insert(gathered.end(), row, row + s.rows);
          }
          ASSERT_TRUE(same_bits(gathered, expected)) << what << ", one token at a time";
        }
      }
}

// The extremes of both sides at once: where a narrow intermediate would overflow.
TYPED_TEST(GroupedMatmul, ExtremeCodesDoNotSaturate) {
  using E = TypeParam;
  if constexpr (requires { E::kBits; }) {
    ThreadPool pool(1);
    const Encoding* e = testing::encodings_of_kind<E>().front();
    for (const int code : {0, E::kCodes - 1})
      for (const float zero : {0.0f, static_cast<float>(E::kCodes - 1)})
        for (const int64_t tokens : {1, 4}) {
          Problem<E> problem(e, 16, 512, tokens);
          const GroupShape shape = group_shape(*e, 512);
          typename E::Codes codes;
          codes.fill(static_cast<uint8_t>(code));
          const std::vector<float> scale(static_cast<size_t>(shape.groups), 0.25f), zeros(scale.size(), zero);
          for (size_t at = 0; at < problem.weights.size(); at += e->row_bytes(512)) {
            E::write_parameters(scale.data(), zeros.data(), shape.groups, &problem.weights[at]);
            for (int64_t b = 0; b < 16; ++b)
              E::pack(codes.data(), reinterpret_cast<typename E::Block*>(
                                        &problem.weights[at + static_cast<size_t>(shape.codes_at)])[b]);
          }
          for (size_t i = 0; i < problem.x.size(); ++i) problem.x[i] = i / 512 % 2 ? -1.0f : 1.0f;
          const double weight =
              0.25 * (E::kZeroPoint ? code - static_cast<double>(zero) : code - E::kCodes / 2);
          for (const KernelTable* k : all_tables()) {
            const auto y = problem.product(*k, pool, ActivationScheme::int8_32);
            for (size_t i = 0; i < y.size(); ++i)
              EXPECT_NEAR(static_cast<double>(y[i]), (i / 16 % 2 ? -512 : 512) * weight,
                          1e-5 * std::fabs(512 * weight))
                  << isa_name(k->isa) << e->name;
          }
        }
  }
}

TEST(GroupedMatmul, IntegersHaveAFastProduct) {
  for (const KernelTable* k : all_tables()) {
    if (k == &portable_table()) continue;
    GroupedKinds::for_each([&]<class E>() {
      if constexpr (requires { E::kBits; }) {
        EXPECT_NE(k->quantized[kind_of<E>()], portable_table().quantized[kind_of<E>()])
            << isa_name(k->isa) << " multiplies " << E::kName << " with the portable code";
      }
    });
  }
}

}  // namespace
}  // namespace carat
