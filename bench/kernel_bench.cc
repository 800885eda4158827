// Speed of the kernels: products per encoding, for one token (bytes of weights per second) and for many
// (operations per second, a multiply-add counted as two), and the other operations of a forward pass.
//
//   kernel_bench [isa] [threads] [rows] [columns] [tokens]
//
// Weights of all matrices together exceed the caches for the single-token figure.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "kernels/kernel_table.h"

namespace carat {
namespace {

double seconds_of(auto&& body) {
  body();
  double best = 1e30, spent = 0;
  for (int i = 0; i < 50 && (i < 3 || spent < 0.4); ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, s);
    spent += s;
  }
  return best;
}

struct Options {
  Isa isa = Isa::portable;
  int threads = 1;
  int64_t rows = 1536, columns = 1536, tokens = 512;
};

void bench_products(const KernelTable& k, ThreadPool& pool, const Options& o) {
  fmt::print("{:<8} {:>14} {:>10} {:>10}\n", "encoding", "1 token GB/s", "8 Gop/s",
             fmt::format("{} Gop/s", o.tokens));
  for (const Encoding* e : all_encodings()) {
    if (!e->fits(o.columns)) continue;
    const uint64_t row_bytes = e->row_bytes(o.columns);
    const int64_t matrices =
        std::max<int64_t>(1, (int64_t{96} << 20) / (o.rows * static_cast<int64_t>(row_bytes)));
    // Any bytes are valid weights; small ones keep F16 parameters finite.
    std::vector<uint8_t> weights(static_cast<size_t>(matrices * o.rows) * row_bytes);
    for (size_t i = 0; i < weights.size(); ++i)
      weights[i] = static_cast<uint8_t>((i * 2654435761u >> 13) & 0x37);
    std::vector<float> x(static_cast<size_t>(o.tokens * o.columns)),
        y(static_cast<size_t>(o.tokens * o.rows));
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<float>(static_cast<int>(i * 7919 % 2001) - 1000) * 1e-3f;
    const auto multiply = [&](int64_t matrix, int64_t tokens) {
      const MatmulTarget target{{e, weights.data() + static_cast<uint64_t>(matrix * o.rows) * row_bytes,
                                 o.rows, o.columns, row_bytes},
                                y.data(),
                                o.rows};
      matmul(k, pool, ActivationScheme::int8_32, {&target, 1}, x.data(), o.columns, tokens);
    };
    const double one = seconds_of([&] {
      for (int64_t m = 0; m < matrices; ++m) multiply(m, 1);
    });
    const double few = seconds_of([&] { multiply(0, 8); });
    const double many = seconds_of([&] { multiply(0, o.tokens); });
    const double operations = 2.0 * static_cast<double>(o.rows * o.columns);
    fmt::print("{:<8} {:>14.2f} {:>10.1f} {:>10.1f}\n", e->name,
               static_cast<double>(weights.size()) / one * 1e-9, 8 * operations / few * 1e-9,
               static_cast<double>(o.tokens) * operations / many * 1e-9);
  }
}

void bench_attention(const KernelTable& k, ThreadPool& pool) {
  constexpr int kHeads = 9, kKvHeads = 3, kDim = 64;
  for (auto [tokens, first] : {std::pair<int64_t, int64_t>{512, 0}, {1, 2047}}) {
    std::vector<float> q(static_cast<size_t>(tokens) * kHeads * kDim, 0.1f), out(q.size());
    std::vector<uint16_t> cache(static_cast<size_t>(tokens + first) * kKvHeads * kDim, 0x3000);
    AttentionArgs a;
    a.q = q.data();
    a.out = out.data();
    a.k_cache = a.v_cache = cache.data();
    a.kv_stride = kKvHeads * kDim;
    a.tokens = tokens;
    a.first_position = first;
    a.heads = kHeads;
    a.kv_heads = kKvHeads;
    a.head_dim = kDim;
    a.scale = 0.125f;
    const double s = seconds_of([&] { attention(k, pool, {&a, 1}); });
    const double pairs =
        static_cast<double>(tokens) * (static_cast<double>(first) + static_cast<double>(tokens + 1) / 2);
    fmt::print("attention {:>4} tokens at {:>4}: {:8.1f} us, {:6.1f} Gop/s\n", tokens, first, s * 1e6,
               4.0 * pairs * kHeads * kDim / s * 1e-9);
  }
}

void bench_rows(const KernelTable& k) {
  constexpr int64_t kN = 49152;
  std::vector<float> x(kN), y(kN, 0.5f);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 97) * 0.1f - 5.0f;
  const auto report = [&](std::string_view what, double s) {
    fmt::print("{:<12} {:6.2f} Gelement/s\n", what, static_cast<double>(kN) / s * 1e-9);
  };
  auto z = x;
  report("silu_mul", seconds_of([&] { silu_mul(k, z.data(), y.data(), kN); }));
  report("rms_norm", seconds_of([&] { rms_norm(k, x.data(), y.data(), 1e-5f, kN / 576, 576, z.data()); }));
  double sum = 0;
  report("log_sum_exp", seconds_of([&] { sum += log_sum_exp(k, x.data(), kN).value; }));
  std::vector<float> angles(kN / 576 * 32, 0.6f);
  z = x;
  report("rope", seconds_of([&] {
           rope(k, z.data(), 576, kN / 576, 9, 64, 64, angles.data(), angles.data(), true);
         }));
}

}  // namespace
}  // namespace carat

int main(int argc, char** argv) {
  using namespace carat;
  Options o;
  const auto number = [&](int i, int64_t otherwise) { return argc > i ? std::atoll(argv[i]) : otherwise; };
  o.isa = available_isas().front();
  if (argc > 1)
    for (Isa isa : available_isas())
      if (isa_name(isa) == argv[1]) o.isa = isa;
  o.threads = static_cast<int>(number(2, 1));
  o.rows = number(3, o.rows);
  o.columns = number(4, o.columns);
  o.tokens = number(5, o.tokens);
  const KernelTable* k = kernel_table(o.isa);
  ThreadPool pool(o.threads);
  fmt::print("{}, {} threads, {} x {} weights\n", isa_name(o.isa), pool.threads(), o.rows, o.columns);
  bench_products(*k, pool, o);
  bench_attention(*k, pool);
  bench_rows(*k);
}
