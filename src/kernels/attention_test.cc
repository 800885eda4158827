#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/testing.h"

namespace carat {
namespace {

struct Case {
  int heads, kv_heads, head_dim;
  int64_t tokens, first_position, window;
};

constexpr Case kCases[] = {
    {1, 1, 16, 1, 0, 0},     {9, 3, 64, 1, 200, 0},    {9, 3, 64, 70, 0, 0},  {8, 4, 8, 17, 5, 0},
    {4, 4, 128, 33, 100, 0}, {8, 1, 80, 20, 63, 0},    {4, 2, 20, 65, 64, 0}, {6, 2, 64, 90, 130, 50},
    {6, 2, 64, 1, 300, 64},  {5, 1, 96, 3, 127, 1000},
};

struct Data {
  Case c;
  std::vector<float> q;
  std::vector<uint16_t> k, v;
  int64_t stride;

  explicit Data(const Case& x) : c(x), stride(x.kv_heads * x.head_dim + 8) {
    q = random_floats(static_cast<size_t>(c.tokens * c.heads * c.head_dim), 1);
    const auto cache = static_cast<size_t>((c.first_position + c.tokens) * stride);
    for (float f : random_floats(cache, 2)) k.push_back(float_to_f16(f));
    for (float f : random_floats(cache, 3)) v.push_back(float_to_f16(f));
  }

  /// The call for tokens [begin, end).
  AttentionArgs args(int64_t begin, int64_t end, float* out) const {
    AttentionArgs a;
    a.q = q.data() + begin * c.heads * c.head_dim;
    a.out = out;
    a.k_cache = k.data();
    a.v_cache = v.data();
    a.kv_stride = stride;
    a.tokens = end - begin;
    a.first_position = c.first_position + begin;
    a.heads = c.heads;
    a.kv_heads = c.kv_heads;
    a.head_dim = c.head_dim;
    a.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    a.window = c.window;
    return a;
  }
  /// Tokens [begin, end) in one call.
  std::vector<float> run(const KernelTable& table, ThreadPool& pool, int64_t begin, int64_t end) const {
    std::vector<float> out(static_cast<size_t>((end - begin) * c.heads * c.head_dim));
    const AttentionArgs a = args(begin, end, out.data());
    attention(table, pool, {&a, 1});
    return out;
  }
};

TEST(Attention, IsTheExactSoftmaxAverage) {
  ThreadPool pool(2);
  for (const Case& c : kCases) {
    const Data d(c);
    const double scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    for (const KernelTable* table : all_tables()) {
      const auto out = d.run(*table, pool, 0, c.tokens);
      for (int64_t t = 0; t < c.tokens; ++t)
        for (int h = 0; h < c.heads; ++h) {
          const int64_t last = c.first_position + t, head = h / (c.heads / c.kv_heads) * c.head_dim;
          const int64_t first = c.window > 0 ? std::max<int64_t>(0, last + 1 - c.window) : 0;
          const float* q = &d.q[static_cast<size_t>((t * c.heads + h) * c.head_dim)];
          std::vector<double> weight;
          double total = 0;
          for (int64_t j = first; j <= last; ++j) {
            double score = 0;
            for (int i = 0; i < c.head_dim; ++i)
              score += double{q[i]} * f16_to_float(d.k[static_cast<size_t>(j * d.stride + head + i)]);
            weight.push_back(std::exp(score * scale));
            total += weight.back();
          }
          for (int i = 0; i < c.head_dim; ++i) {
            double exact = 0;
            for (int64_t j = first; j <= last; ++j)
              exact += weight[static_cast<size_t>(j - first)] / total *
                       f16_to_float(d.v[static_cast<size_t>(j * d.stride + head + i)]);
            ASSERT_NEAR(out[static_cast<size_t>((t * c.heads + h) * c.head_dim + i)], exact, 4e-6)
                << isa_name(table->isa) << " head_dim " << c.head_dim << " token " << t << " head " << h
                << " channel " << i;
          }
        }
    }
  }
}

TEST(Attention, BitsDependOnNeitherInstructionSetNorThreadsNorBatch) {
  ThreadPool one(1), three(3);
  for (const Case& c : kCases) {
    const Data d(c);
    const auto expected = d.run(portable_table(), one, 0, c.tokens);
    for (const KernelTable* table : all_tables()) {
      EXPECT_TRUE(same_bits(d.run(*table, three, 0, c.tokens), expected)) << isa_name(table->isa);
      for (int64_t piece : {int64_t{1}, int64_t{7}}) {
        std::vector<float> pieces;
        for (int64_t t = 0; t < c.tokens; t += piece) {
          const auto part = d.run(*table, three, t, std::min(c.tokens, t + piece));
          pieces.insert(pieces.end(), part.begin(), part.end());
        }
        EXPECT_TRUE(same_bits(pieces, expected)) << isa_name(table->isa) << " in pieces of " << piece;
      }
    }
  }
}

TEST(Attention, SequencesOfOneJobAreComputedAsIfAlone) {
  ThreadPool three(3);
  std::vector<Data> data(std::begin(kCases), std::end(kCases));
  for (const KernelTable* table : all_tables()) {
    std::vector<std::vector<float>> expected, out;
    std::vector<AttentionArgs> calls;
    for (const Data& d : data) {
      expected.push_back(d.run(*table, three, 0, d.c.tokens));
      out.emplace_back(expected.back().size());
      calls.push_back(d.args(0, d.c.tokens, out.back().data()));
    }
    calls.insert(calls.begin() + 3, AttentionArgs{.heads = 2, .kv_heads = 1, .head_dim = 16});  // no tokens
    attention(*table, three, calls);
    for (size_t i = 0; i < data.size(); ++i)
      EXPECT_TRUE(same_bits(out[i], expected[i])) << isa_name(table->isa) << " sequence " << i;
    attention(*table, three, {});
  }
}

TEST(Attention, LaterPositionsCannotReachEarlierTokens) {
  ThreadPool pool(1);
  Data d({9, 3, 64, 20, 10, 0});
  for (const KernelTable* table : all_tables()) {
    const auto before = d.run(*table, pool, 0, 20);
    Data changed = d;
    for (size_t i = static_cast<size_t>(20 * d.stride); i < d.k.size(); ++i)
      changed.k[i] = changed.v[i] = 0x7e00;  // NaN
    auto after = changed.run(*table, pool, 0, 20);
    const auto kept = static_cast<size_t>(10 * 9 * 64);
    EXPECT_EQ(std::memcmp(before.data(), after.data(), kept * 4), 0) << isa_name(table->isa);
    EXPECT_TRUE(std::isnan(after[kept])) << isa_name(table->isa);
  }
}

}  // namespace
}  // namespace carat
