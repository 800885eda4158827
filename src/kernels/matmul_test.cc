// One suite over encoding x instruction set x shape: every product against sums in double, and bit for bit
// against itself with other threads, batches, row splits and instruction sets.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/testing.h"

namespace carat {
namespace {

struct Shape {
  int64_t rows, columns, tokens;
};

template <class E>
std::vector<Shape> shapes() {
  std::vector<Shape> list = {{1, E::kBlock, 1}, {16, 512, 8},    {17, 768, 3},
                             {47, 256, 13},     {33, 1280, 133}, {83, 512, 21}};
  if (E::kBlock < 256)
    for (const Shape& s : {Shape{5, 32, 2}, {20, 288, 5}, {16, 576, 1}, {31, 1504, 9}})
      list.push_back({s.rows, ceil_div(s.columns, E::kBlock) * E::kBlock, s.tokens});
  if (E::kFloat) list.insert(list.end(), {{3, 1, 1}, {19, 37, 6}, {16, 263, 2}, {16, 260, 7}, {2, 515, 11}});
  return list;
}

template <class E>
struct Problem {
  Shape shape;
  std::vector<uint8_t> weights;
  std::vector<float> x;

  explicit Problem(Shape s)
      : shape(s),
        weights(random_weights<E>(s.rows, s.columns, 7)),
        x(random_floats(size(s.tokens, s.columns), 11)) {}

  static size_t size(int64_t a, int64_t b) { return static_cast<size_t>(a * b); }

  WeightView view() const {
    const Encoding& e = encoding_of<E>();
    return {&e, weights.data(), shape.rows, shape.columns, e.row_bytes(shape.columns)};
  }
  std::vector<float> product(const KernelTable& k, ThreadPool& pool, ActivationScheme scheme) const {
    std::vector<float> y(size(shape.tokens, shape.rows), std::numeric_limits<float>::quiet_NaN());
    const MatmulTarget target{view(), y.data(), shape.rows};
    matmul(k, pool, scheme, {&target, 1}, x.data(), shape.columns, shape.tokens);
    return y;
  }
};

/// Rounding in groups of columns, said once more without vectors; one scale for every 32 columns.
struct Rounded {
  std::vector<int> code;
  std::vector<float> scale;
};
Rounded round_reference(const float* x, int64_t n, int64_t group) {
  Rounded r{std::vector<int>(static_cast<size_t>(n)),
            std::vector<float>(static_cast<size_t>(ceil_div(n, 32)))};
  for (int64_t b = 0; b < n; b += group) {
    float largest = 0;
    for (int64_t i = b; i < std::min(n, b + group); ++i) largest = std::max(largest, std::fabs(x[i]));
    if (largest < 0x1p-100f) continue;
    for (int64_t i = b; i < std::min(n, b + group); ++i) {
      r.scale[static_cast<size_t>(i / 32)] = largest / 127.0f;
      r.code[static_cast<size_t>(i)] = static_cast<int>(std::nearbyintf(x[i] * (127.0f / largest)));
    }
  }
  return r;
}

constexpr double kEpsilon = 0x1p-24;

template <class E>
class MatmulTest : public testing::Test {};

template <class... E>
testing::Types<E...> as_types(EncodingList<E...>);

/// The encodings with codes.
template <class... Kept>
EncodingList<Kept...> quantized_of(EncodingList<>, Kept...);
template <class First, class... Rest, class... Kept>
auto quantized_of(EncodingList<First, Rest...>, Kept... kept) {
  if constexpr (First::kFloat)
    return quantized_of(EncodingList<Rest...>{}, kept...);
  else
    return quantized_of(EncodingList<Rest...>{}, kept..., First{});
}
using QuantizedEncodings = decltype(quantized_of(AllEncodings{}));

struct Names {
  template <class E>
  static std::string GetName(int) {
    return std::string(E::kName);
  }
};
TYPED_TEST_SUITE(MatmulTest, decltype(as_types(AllEncodings{})), Names);

template <class E>
class QuantizedMatmulTest : public testing::Test {};
TYPED_TEST_SUITE(QuantizedMatmulTest, decltype(as_types(QuantizedEncodings{})), Names);

// The exact sum of what the scheme says, and a bound of (steps of one output + 5) roundings of the sum of
// magnitudes: one fma per leaf or 32 columns, and at most five roundings on the way of a term.
TYPED_TEST(QuantizedMatmulTest, RoundedProductIsTheExactSumWithinItsBound) {
  using E = TypeParam;
  ThreadPool pool(2);
  for (const KernelTable* k : all_tables())
    for (const Shape& shape : shapes<E>()) {
      const Problem<E> problem(shape);
      const bool by_block = E::kBlock == 256 && shape.tokens % 2 == 1;  // both schemes come up
      const auto y =
          problem.product(*k, pool, by_block ? ActivationScheme::int8_block : ActivationScheme::int8_32);
      const auto* blocks = reinterpret_cast<const typename E::Block*>(problem.weights.data());
      const int64_t per_row = shape.columns / E::kBlock;
      for (int64_t t = 0; t < shape.tokens; t += 1 + t / 4) {
        const Rounded a = round_reference(&problem.x[Problem<E>::size(t, shape.columns)], shape.columns,
                                          by_block ? 256 : 32);
        for (int64_t r = 0; r < shape.rows; ++r) {
          double sum = 0, magnitude = 0;
          for (int64_t b = 0; b < per_row; ++b) {
            typename E::Planes p;
            E::unpack(blocks[r * per_row + b], p);
            for (int leaf = 0; leaf < E::kLeaves; ++leaf) {
              const int64_t first = b * E::kBlock + leaf * E::kLeaf;
              const double scale = a.scale[static_cast<size_t>(first / 32)];
              int64_t dot = 0, total = 0;
              int8_t level[E::kLeaf];
              leaf_levels<E>(p, leaf, level);
              for (int i = 0; i < E::kLeaf; ++i) {
                const int code = a.code[static_cast<size_t>(first + i)];
                dot += level[i] * code;
                total += code;
              }
              const double product = scale * leaf_scale<E>(p, leaf) * static_cast<double>(dot);
              const double offset = scale * leaf_offset<E>(p, leaf) * static_cast<double>(total);
              sum += product + offset;
              magnitude += std::fabs(product) + std::fabs(offset);
            }
          }
          const int steps = E::kTwoLevel ? 32 : E::kLeaf;
          const double bound = (static_cast<double>(shape.columns) / steps + 5) * kEpsilon * magnitude;
          ASSERT_NEAR(y[static_cast<size_t>(t * shape.rows + r)], sum, bound)
              << isa_name(k->isa) << " rows " << shape.rows << " columns " << shape.columns << " token " << t
              << " row " << r;
        }
      }
    }
}

// Exact weights, unrounded activations: 128 fused steps per half tile, two additions per tile.
TYPED_TEST(MatmulTest, FloatProductIsTheExactSumWithinItsBound) {
  using E = TypeParam;
  ThreadPool pool(2);
  for (const KernelTable* k : all_tables())
    for (const Shape& shape : shapes<E>()) {
      const Problem<E> problem(shape);
      std::vector<float> w(Problem<E>::size(shape.rows, shape.columns));
      encoding_of<E>().decode(problem.weights.data(), w.data(), shape.rows * shape.columns);
      for (auto scheme : {ActivationScheme::float32, ActivationScheme::int8_32_everywhere,
                          ActivationScheme::int8_256_everywhere}) {
        if (scheme != ActivationScheme::float32 && !E::kFloat) continue;
        const auto y = problem.product(*k, pool, scheme);
        for (int64_t t = 0; t < shape.tokens; t += 1 + t / 4) {
          std::vector<float> x(problem.x.begin() + t * shape.columns,
                               problem.x.begin() + (t + 1) * shape.columns);
          if (scheme != ActivationScheme::float32) {
            const int64_t group = scheme == ActivationScheme::int8_32_everywhere ? 32 : 256;
            const Rounded a = round_reference(x.data(), shape.columns, group);
            for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(a.code[i]) * a.scale[i / 32];
          }
          for (int64_t r = 0; r < shape.rows; ++r) {
            double sum = 0, magnitude = 0;
            for (int64_t c = 0; c < shape.columns; ++c) {
              const double term =
                  double{w[static_cast<size_t>(r * shape.columns + c)]} * x[static_cast<size_t>(c)];
              sum += term;
              magnitude += std::fabs(term);
            }
            const double bound =
                (130 + static_cast<double>(ceil_div(shape.columns, 256))) * kEpsilon * magnitude;
            ASSERT_NEAR(y[static_cast<size_t>(t * shape.rows + r)], sum, bound)
                << isa_name(k->isa) << " rows " << shape.rows << " columns " << shape.columns << " token "
                << t << " row " << r;
          }
        }
      }
    }
}

// Both sides rounded to bf16, and one sum over all columns in order.
TYPED_TEST(MatmulTest, Bf16ProductIsTheExactSumOfRoundedNumbersWithinItsBound) {
  using E = TypeParam;
  ThreadPool pool(2);
  for (const KernelTable* k : all_tables())
    for (const Shape& shape : shapes<E>()) {
      const Problem<E> problem(shape);
      std::vector<float> w(Problem<E>::size(shape.rows, shape.columns));
      encoding_of<E>().decode(problem.weights.data(), w.data(), shape.rows * shape.columns);
      const auto y = problem.product(*k, pool, ActivationScheme::bfloat16);
      for (int64_t t = 0; t < shape.tokens; t += 1 + t / 4)
        for (int64_t r = 0; r < shape.rows; ++r) {
          double sum = 0, magnitude = 0;
          for (int64_t c = 0; c < shape.columns; ++c) {
            const float x = problem.x[static_cast<size_t>(t * shape.columns + c)];
            const double term = double{bf16_to_float(float_to_bf16(x))} *
                                bf16_to_float(float_to_bf16(w[static_cast<size_t>(r * shape.columns + c)]));
            sum += term;
            magnitude += std::fabs(term);
          }
          const double bound = static_cast<double>(shape.columns + 1) * kEpsilon * magnitude;
          ASSERT_NEAR(y[static_cast<size_t>(t * shape.rows + r)], sum, bound)
              << isa_name(k->isa) << " rows " << shape.rows << " columns " << shape.columns << " token " << t
              << " row " << r;
        }
    }
}

// What vdpbf16ps does to numbers that are too small.
TEST(Bf16Matmul, SubnormalNumbersCountAsZerosEverywhere) {
  ThreadPool pool(1);
  std::mt19937_64 engine(3);
  Problem<BF16> problem({64, 32, 200});
  auto* const weights = reinterpret_cast<uint16_t*>(problem.weights.data());
  // Products around 2^-127, of which sums cancel, and every fifth factor subnormal.
  const auto exponent = [&] { return static_cast<uint32_t>(engine() % 5 == 0 ? 0 : 58 + engine() % 10); };
  for (size_t i = 0; i < problem.weights.size() / 2; ++i)
    weights[i] = static_cast<uint16_t>((engine() & 0x807f) | exponent() << 7);
  for (float& x : problem.x)
    x = std::bit_cast<float>(static_cast<uint32_t>(engine() & 0x807fffff) | exponent() << 23);
  const auto expected = problem.product(portable_table(), pool, ActivationScheme::bfloat16);
  for (const float y : expected) EXPECT_TRUE(y == 0 || std::fabs(y) >= 0x1p-126f) << y;
  EXPECT_GT(std::ranges::count_if(expected, [](float y) { return y != 0 && std::fabs(y) < 0x1p-124f; }), 0);
  for (const KernelTable* k : all_tables())
    EXPECT_TRUE(same_bits(problem.product(*k, pool, ActivationScheme::bfloat16), expected))
        << isa_name(k->isa);
}

TYPED_TEST(MatmulTest, Bf16ProductsOfWhatIsNotFiniteAreNot) {
  using E = TypeParam;
  ThreadPool pool(1);
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::bit_cast<float>(0x7f800001u),
                    std::bit_cast<float>(0xffffffffu), std::numeric_limits<float>::infinity()}) {
    Problem<E> problem({70, 512, 2});
    problem.x[300] = bad;
    for (const KernelTable* k : all_tables()) {
      const auto y = problem.product(*k, pool, ActivationScheme::bfloat16);
      for (size_t r = 0; r < 70; ++r) EXPECT_FALSE(std::isfinite(y[r])) << isa_name(k->isa);
      for (size_t r = 70; r < 140; ++r) EXPECT_TRUE(std::isfinite(y[r])) << isa_name(k->isa);
    }
  }
}

TYPED_TEST(MatmulTest, BitsDependOnNeitherInstructionSetNorThreadsNorBatchNorSplit) {
  using E = TypeParam;
  ThreadPool one(1), three(3);
  for (auto scheme : {ActivationScheme::int8_block, ActivationScheme::int8_32, ActivationScheme::bfloat16,
                      ActivationScheme::float32, ActivationScheme::int8_32_everywhere})
    for (const Shape& shape : shapes<E>()) {
      const Problem<E> problem(shape);
      const auto expected = problem.product(portable_table(), one, scheme);
      for (const KernelTable* k : all_tables()) {
        const auto what = ::testing::Message()
                          << isa_name(k->isa) << " rows " << shape.rows << " columns " << shape.columns
                          << " tokens " << shape.tokens << " scheme " << static_cast<int>(scheme);
        EXPECT_TRUE(same_bits(problem.product(*k, three, scheme), expected)) << what;
        // Token by token, into places far apart, with the rows as two targets.
        const int64_t split = shape.rows / 3, stride = shape.rows + 5;
        std::vector<float> y(Problem<E>::size(shape.tokens, stride));
        for (int64_t t = 0; t < shape.tokens; ++t) {
          WeightView top = problem.view(), rest = problem.view();
          top.rows = split;
          rest.data += static_cast<uint64_t>(split) * rest.row_bytes;
          rest.rows -= split;
          float* row = y.data() + t * stride;
          const MatmulTarget targets[] = {{top, row, 1}, {rest, row + split, 1}};
          matmul(*k, three, scheme, targets, problem.x.data() + t * shape.columns, shape.columns, 1);
        }
        std::vector<float> gathered;
        for (int64_t t = 0; t < shape.tokens; ++t)
          gathered.insert(gathered.end(), y.begin() + t * stride, y.begin() + t * stride + shape.rows);
        EXPECT_TRUE(same_bits(gathered, expected)) << what << ", one token at a time";
      }
    }
}

TYPED_TEST(MatmulTest, NothingBeyondTheRowsIsWritten) {
  using E = TypeParam;
  ThreadPool pool(1);
  const Problem<E> problem({19, 256, 3});
  for (const KernelTable* k : all_tables())
    for (auto scheme : {ActivationScheme::int8_32, ActivationScheme::bfloat16}) {
      std::vector<float> y(3 * 24, 42.0f);
      const MatmulTarget target{problem.view(), y.data(), 24};
      matmul(*k, pool, scheme, {&target, 1}, problem.x.data(), 256, 3);
      for (size_t t = 0; t < 3; ++t)
        for (size_t r = 19; r < 24; ++r) EXPECT_EQ(y[24 * t + r], 42.0f);
    }
}

TYPED_TEST(MatmulTest, ActivationsThatAreNotFiniteReachEveryOutput) {
  using E = TypeParam;
  ThreadPool pool(1);
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Problem<E> problem({18, 512, 2});
    problem.x[300] = bad;
    for (const KernelTable* k : all_tables()) {
      const auto y = problem.product(*k, pool, ActivationScheme::int8_32);
      for (size_t r = 0; r < 18; ++r) EXPECT_FALSE(std::isfinite(y[r])) << isa_name(k->isa);
      for (size_t r = 18; r < 36; ++r) EXPECT_TRUE(std::isfinite(y[r])) << isa_name(k->isa);
    }
  }
}

TEST(Matmul, TinyActivationsCountAsZero) {
  ThreadPool pool(1);
  Problem<Q4_0> problem({16, 64, 1});
  for (float& v : problem.x) v *= 0x1p-120f;
  for (const KernelTable* k : all_tables())
    for (float y : problem.product(*k, pool, ActivationScheme::int8_32)) EXPECT_EQ(y, 0.0f);
}

// The extremes of both sides at once: where a narrow intermediate would overflow.
TYPED_TEST(QuantizedMatmulTest, ExtremeCodesDoNotSaturate) {
  using E = TypeParam;
  ThreadPool pool(1);
  for (int code : {0, E::kCodes - 1}) {
    Problem<E> problem({16, 512, 4});
    for (size_t at = 0; at < problem.weights.size(); at += sizeof(typename E::Block)) {
      auto& block = *reinterpret_cast<typename E::Block*>(&problem.weights[at]);
      typename E::Planes p;
      E::unpack(block, p);
      p.code.fill(static_cast<uint8_t>(code));
      E::pack(p, block);
    }
    for (size_t i = 0; i < problem.x.size(); ++i) problem.x[i] = i / 512 % 2 ? -1.0f : 1.0f;
    for (auto scheme : {ActivationScheme::int8_32, ActivationScheme::int8_block}) {
      const auto expected = problem.product(portable_table(), pool, scheme);
      for (const KernelTable* k : all_tables()) {
        EXPECT_TRUE(same_bits(problem.product(*k, pool, scheme), expected)) << isa_name(k->isa);
        const std::vector<float> first_token(expected.begin(), expected.begin() + 16);
        Problem<E> alone = problem;
        alone.shape.tokens = 1;
        EXPECT_TRUE(same_bits(alone.product(*k, pool, scheme), first_token))
            << isa_name(k->isa) << ", one token";
      }
    }
  }
}

TYPED_TEST(QuantizedMatmulTest, RowsMayBeLong) {
  ThreadPool pool(2);
  const Problem<TypeParam> problem({18, 69 * 256, 1});
  const auto expected = problem.product(portable_table(), pool, ActivationScheme::int8_block);
  for (const KernelTable* k : all_tables())
    EXPECT_TRUE(same_bits(problem.product(*k, pool, ActivationScheme::int8_block), expected))
        << isa_name(k->isa);
}

TEST(Matmul, EveryEncodingHasAFastProduct) {
  for (const KernelTable* k : all_tables()) {
    if (k->isa == Isa::portable) continue;
    for (size_t i = 0; i < AllEncodings::kCount; ++i) {
      if (!portable_table().quantized[i]) continue;
      EXPECT_NE(k->quantized[i], portable_table().quantized[i])
          << isa_name(k->isa) << " multiplies " << all_encodings()[i]->name << " with the portable code";
    }
  }
}

TEST(Matmul, TargetsOfDifferentEncodingsShareTheirActivations) {
  ThreadPool pool(2);
  const Problem<Q4_K> a({40, 512, 7});
  const Problem<Q6_K> b({24, 512, 7});
  const Problem<BF16> c({9, 512, 7});
  for (const KernelTable* k : all_tables())
    for (auto scheme : {ActivationScheme::int8_block, ActivationScheme::int8_32, ActivationScheme::bfloat16,
                        ActivationScheme::float32, ActivationScheme::int8_32_everywhere}) {
      std::vector<float> ya(7 * 40), yb(7 * 24), yc(7 * 9);
      const MatmulTarget targets[] = {
          {a.view(), ya.data(), 40}, {b.view(), yb.data(), 24}, {c.view(), yc.data(), 9}};
      matmul(*k, pool, scheme, targets, a.x.data(), 512, 7);
      EXPECT_TRUE(same_bits(ya, a.product(*k, pool, scheme)));
      EXPECT_TRUE(same_bits(yb, b.product(*k, pool, scheme)));
      EXPECT_TRUE(same_bits(yc, c.product(*k, pool, scheme)));
    }
}

}  // namespace
}  // namespace carat
