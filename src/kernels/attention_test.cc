#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/testing.h"

namespace carat {
namespace {

struct Case {
  int heads, kv_heads, head_dim;
  int64_t tokens, first_position, window;
  float softcap = 0;
  bool sinks = false;
};

constexpr Case kCases[] = {
    {1, 1, 16, 1, 0, 0},
    {9, 3, 64, 1, 200, 0},
    {9, 3, 64, 70, 0, 0},
    {8, 4, 8, 17, 5, 0},
    {4, 4, 128, 33, 100, 0},
    {8, 1, 80, 20, 63, 0},
    {4, 2, 20, 65, 64, 0},
    {6, 2, 64, 90, 130, 50},
    {6, 2, 64, 1, 300, 64},
    {5, 1, 96, 3, 127, 1000},
    {7, 1, 256, 9, 505, 0},
    {13, 1, 48, 2, 1023, 0},
    {9, 3, 64, 1, 1700, 0},
    {9, 3, 64, 5, 600, 0, 0.8f},
    {6, 2, 40, 30, 500, 70, 0.5f},
    {9, 3, 64, 20, 30, 0, 0, true},
    {8, 1, 64, 3, 1100, 90, 0, true},
    {6, 2, 32, 1, 1600, 0, 0.7f, true},
    {4, 2, 32, 40, 1000, 530},
    {2, 1, 64, 1, 1535, 512},
    {10, 2, 64, 3, 1022, 513},
    {26, 2, 96, 2, 510, 0},
    {6, 6, 80, 5, 700, 0},
    {3, 3, 256, 1, 1100, 0},
    {14, 2, 80, 1, 2047, 0},
};

/// What a cache makes of a row of head_dim numbers, from the definition of its encoding.
void round_row(KvEncoding encoding, float* x, int n) {
  if (encoding == KvEncoding::f16) {
    for (int i = 0; i < n; ++i) x[i] = f16_to_float(float_to_f16(x[i]));
    return;
  }
  for (int block = 0; block < n; block += 32) {
    const int end = std::min(n, block + 32);
    float largest = 0;
    for (int i = block; i < end; ++i) largest = std::max(largest, std::abs(x[i]));
    const float d = f16_to_float(float_to_f16(largest / 127.0f));
    for (int i = block; i < end; ++i)
      x[i] = d > 0 ? d * std::clamp(std::nearbyint(x[i] * (1.0f / d)), -127.0f, 127.0f) : 0.0f;
  }
}

/// Hadamard matrix times the row, in blocks as large as divide it: what happens to keys before Q8_0, and
/// back again.
void rotate(float* x, int n) {
  const int size = std::min(256, n & -n);
  if (size < 32) return;
  std::vector<float> next(static_cast<size_t>(size));
  for (int block = 0; block < n; block += size) {
    for (int stage = size; stage > 1; stage /= 2) {
      for (int i = 0; i < size / 2; ++i) {
        const float a = x[block + 2 * i], b = x[block + 2 * i + 1];
        next[static_cast<size_t>(i)] = a + b;
        next[static_cast<size_t>(size / 2 + i)] = a - b;
      }
      std::ranges::copy(next, x + block);
    }
    for (int i = 0; i < size; ++i) x[block + i] *= 1.0f / std::sqrt(static_cast<float>(size));
  }
}

struct Data {
  Case c;
  KvFormat format;
  std::vector<float> q, k, v, sinks;
  std::vector<uint8_t> cache;

  Data(const Case& x, KvEncoding encoding) : c(x), format{encoding, x.kv_heads, x.head_dim} {
    const auto numbers = static_cast<size_t>(positions() * c.kv_heads * c.head_dim);
    q = random_floats(static_cast<size_t>(c.tokens * c.heads * c.head_dim), 1);
    k = random_floats(numbers, 2);
    v = random_floats(numbers, 3);
    sinks = random_floats(static_cast<size_t>(c.heads), 4, 3.0f);
    store(portable_table(), {positions()});
  }

  int64_t positions() const { return c.first_position + c.tokens; }

  /// Fills the cache anew, in pieces of these sizes (the last repeats).
  void store(const KernelTable& table, std::vector<int64_t> pieces) {
    cache.assign(static_cast<size_t>(format.bytes(positions())), 0x7f);  // NaN in F16
    const int64_t row = int64_t{c.kv_heads} * c.head_dim;
    for (int64_t at = 0; at < positions();) {
      const int64_t n = std::min(pieces.front(), positions() - at);
      if (pieces.size() > 1) pieces.erase(pieces.begin());
      append_kv(table, format, cache.data(), at, n, &k[static_cast<size_t>(at * row)],
                &v[static_cast<size_t>(at * row)]);
      at += n;
    }
  }

  /// The call for tokens [begin, end).
  AttentionArgs args(int64_t begin, int64_t end, float* out) const {
    AttentionArgs a;
    a.q = q.data() + begin * c.heads * c.head_dim;
    a.out = out;
    a.cache = cache.data();
    a.format = format;
    a.tokens = end - begin;
    a.first_position = c.first_position + begin;
    a.heads = c.heads;
    a.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    a.window = c.window;
    a.softcap = c.softcap;
    if (c.sinks) a.sinks = sinks.data();
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

std::vector<Data> all_data() {
  std::vector<Data> data;
  for (KvEncoding encoding : {KvEncoding::f16, KvEncoding::q8_0})
    for (const Case& c : kCases) data.emplace_back(c, encoding);
  return data;
}

std::string describe(const Data& d) {
  return fmt::format("{} heads on {} of {}, {} tokens at {}, {}", d.c.heads, d.c.kv_heads, d.c.head_dim,
                     d.c.tokens, d.c.first_position, kv_encoding_name(d.format.encoding));
}

TEST(Attention, IsTheExactSoftmaxAverage) {
  ThreadPool pool(2);
  for (Data& d : all_data()) {
    const Case& c = d.c;
    const double scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    // Queries and weights that meet Q8_0 are rounded to 16 bits.
    const double bound = d.format.encoding == KvEncoding::f16 ? 4e-6 : 1e-4;
    const auto out = d.run(*all_tables().front(), pool, 0, c.tokens);
    for (size_t at = 0; at < d.k.size(); at += static_cast<size_t>(c.head_dim)) {
      const bool rotated = d.format.encoding == KvEncoding::q8_0;
      if (rotated) rotate(&d.k[at], c.head_dim);
      round_row(d.format.encoding, &d.k[at], c.head_dim);
      if (rotated) rotate(&d.k[at], c.head_dim);
      round_row(d.format.encoding, &d.v[at], c.head_dim);
    }
    const auto element = [&](int64_t position, int head, int channel) {
      return static_cast<size_t>((position * c.kv_heads + head) * c.head_dim + channel);
    };
    double worst = 0;
    for (int64_t t = 0; t < c.tokens; ++t)
      for (int h = 0; h < c.heads; ++h) {
        const int kv_head = h / (c.heads / c.kv_heads);
        const int64_t last = c.first_position + t;
        const int64_t first = c.window > 0 ? std::max<int64_t>(0, last + 1 - c.window) : 0;
        const float* q = &d.q[static_cast<size_t>((t * c.heads + h) * c.head_dim)];
        std::vector<double> average(static_cast<size_t>(c.head_dim));
        double total = c.sinks ? std::exp(double{d.sinks[static_cast<size_t>(h)]}) : 0;
        for (int64_t j = first; j <= last; ++j) {
          double score = 0;
          for (int i = 0; i < c.head_dim; ++i) score += double{q[i]} * d.k[element(j, kv_head, i)];
          score *= scale;
          if (c.softcap > 0) score = c.softcap * std::tanh(score / c.softcap);
          const double weight = std::exp(score);
          total += weight;
          for (int i = 0; i < c.head_dim; ++i)
            average[static_cast<size_t>(i)] += weight * d.v[element(j, kv_head, i)];
        }
        for (int i = 0; i < c.head_dim; ++i)
          worst = std::max(worst, std::abs(out[static_cast<size_t>((t * c.heads + h) * c.head_dim + i)] -
                                           average[static_cast<size_t>(i)] / total));
      }
    EXPECT_LT(worst, bound) << describe(d);
  }
}

TEST(Attention, BitsDependOnNeitherInstructionSetNorThreadsNorBatch) {
  ThreadPool one(1), three(3);
  for (const Data& d : all_data()) {
    const int64_t tokens = d.c.tokens;
    const auto expected = d.run(portable_table(), one, 0, tokens);
    for (const KernelTable* table : all_tables()) {
      EXPECT_TRUE(same_bits(d.run(*table, one, 0, tokens), expected)) << isa_name(table->isa) << describe(d);
      EXPECT_TRUE(same_bits(d.run(*table, three, 0, tokens), expected))
          << isa_name(table->isa) << describe(d);
      for (int64_t piece : {int64_t{1}, int64_t{7}}) {
        std::vector<float> pieces;
        for (int64_t t = 0; t < tokens; t += piece) {
          const auto part = d.run(*table, piece == 1 ? one : three, t, std::min(tokens, t + piece));
          pieces.insert(pieces.end(), part.begin(), part.end());
        }
        EXPECT_TRUE(same_bits(pieces, expected))
            << isa_name(table->isa) << " in pieces of " << piece << describe(d);
      }
    }
  }
}

TEST(Attention, StoredBytesDependOnNeitherInstructionSetNorPieces) {
  for (Data& d : all_data()) {
    const auto expected = d.cache;
    for (const KernelTable* table : all_tables())
      for (int64_t piece : {int64_t{1}, int64_t{33}}) {
        d.store(*table, {5, piece});
        EXPECT_EQ(d.cache, expected) << isa_name(table->isa) << describe(d);
      }
  }
}

TEST(Attention, NumbersBeyondF16BecomeInfinite) {
  for (const KernelTable* table : all_tables()) {
    const KvFormat format{KvEncoding::f16, 1, 16};
    std::vector<uint8_t> cache(static_cast<size_t>(format.bytes(1)));
    const float x[16] = {65519.9f, 65520.0f, -1e9f, 1.0f + 0x1p-11f, 0x1p-25f, 0x1.8p-25f, -0x1p-14f};
    append_kv(*table, format, cache.data(), 0, 1, x, x);
    for (size_t i = 0; i < 16; ++i) {
      uint16_t key, value;
      std::memcpy(&key, &cache[128 * i], 2);
      std::memcpy(&value, &cache[static_cast<size_t>(format.plane_bytes()) + 2 * i], 2);
      EXPECT_EQ(key, float_to_f16(x[i])) << isa_name(table->isa) << " " << i;
      EXPECT_EQ(value, float_to_f16(x[i])) << isa_name(table->isa) << " " << i;
    }
  }
}

TEST(Attention, WhatIsNotFiniteStaysSoInQ8_0) {
  ThreadPool pool(1);
  for (const KernelTable* table : all_tables())
    for (float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Data d({1, 1, 64, 1, 3, 0}, KvEncoding::q8_0);
      d.v[70] = odd;  // position 1, block 0
      d.store(*table, {4});
      const auto out = d.run(*table, pool, 0, 1);
      for (size_t i = 0; i < 64; ++i) EXPECT_EQ(std::isnan(out[i]), i < 32) << isa_name(table->isa);
      d.k[0] = odd;
      d.store(*table, {4});
      EXPECT_TRUE(std::isnan(d.run(*table, pool, 0, 1)[63])) << isa_name(table->isa);
    }
}

TEST(Attention, SmallAndZeroBlocksOfQ8_0) {
  ThreadPool pool(1);
  for (const KernelTable* table : all_tables())
    for (float size : {0.0f, 1e-30f, 0x1p-24f, 3e-6f, 1e-3f}) {
      Data d({1, 1, 32, 1, 0, 0}, KvEncoding::q8_0);
      for (float& x : d.v) x *= size;
      d.store(*table, {1});
      const auto out = d.run(*table, pool, 0, 1);
      round_row(KvEncoding::q8_0, d.v.data(), 32);
      for (size_t i = 0; i < 32; ++i)
        EXPECT_NEAR(out[i], d.v[i], 1e-6f * std::abs(d.v[i])) << isa_name(table->isa) << " " << size;
    }
}

TEST(Attention, SequencesOfOneJobAreComputedAsIfAlone) {
  ThreadPool one(1), three(3);
  const std::vector<Data> data = all_data();
  for (const KernelTable* table : all_tables()) {
    std::vector<std::vector<float>> expected, out;
    std::vector<AttentionArgs> calls;
    for (const Data& d : data) {
      expected.push_back(d.run(*table, one, 0, d.c.tokens));
      out.emplace_back(expected.back().size());
      calls.push_back(d.args(0, d.c.tokens, out.back().data()));
    }
    calls.insert(calls.begin() + 3,
                 AttentionArgs{.format = {KvEncoding::f16, 1, 16}, .heads = 2});  // no tokens
    const auto check = [&](size_t first, size_t last, size_t skipped) {
      for (auto& o : out) std::ranges::fill(o, 0.0f);
      attention(*table, three, std::span(calls).subspan(first, last - first));
      for (size_t i = first; i < last; ++i) {
        if (i == skipped) continue;
        const size_t j = i > skipped ? i - 1 : i;
        EXPECT_TRUE(same_bits(out[j], expected[j])) << isa_name(table->isa) << " sequence " << j;
      }
    };
    check(0, calls.size(), 3);
    check(1, 5, 3);  // few enough that positions are split
    attention(*table, three, {});
  }
}

TEST(Attention, LaterPositionsCannotReachEarlierTokens) {
  ThreadPool pool(1);
  for (KvEncoding encoding : {KvEncoding::f16, KvEncoding::q8_0}) {
    Data d({9, 3, 64, 20, 10, 0}, encoding);
    for (const KernelTable* table : all_tables()) {
      const auto before = d.run(*table, pool, 0, 20);
      Data changed = d;
      for (size_t i = size_t{20} * 3 * 64; i < d.k.size(); ++i)
        changed.k[i] = changed.v[i] = std::numeric_limits<float>::quiet_NaN();
      changed.store(*table, {30});
      auto after = changed.run(*table, pool, 0, 20);
      const auto kept = static_cast<size_t>(10 * 9 * 64);
      EXPECT_EQ(std::memcmp(before.data(), after.data(), kept * 4), 0) << isa_name(table->isa);
      EXPECT_TRUE(std::isnan(after[kept])) << isa_name(table->isa);
    }
  }
}

}  // namespace
}  // namespace carat
