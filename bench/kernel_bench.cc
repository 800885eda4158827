// A workbench for kernels: products per encoding and shape, and the other operations of a forward pass, for
// each instruction set.
//
//   kernel_bench [--isa avx512,avx2] [--threads N] [--shapes 2048x2048,5632x2048] [--encodings Q4_K,Q6_K]
//                [--tokens 1,8,512] [--scheme int8_block|int8_32|bfloat16|float32] [--only products]
//
// Shapes are rows x columns of the weights. Before anything is timed, each product is compared with the
// portable one, bit for bit. Weights are cold: every product of a timing has its own copy, as far as 1 GB
// goes, and all caches are flushed by reading 512 MB before. Printed per number of tokens: weight bytes and
// operations (a multiply-add is two) per second, and the larger of the shares of memory bandwidth and of the
// peak of int8 or f32 that this is; the limits are measured right before.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/stopwatch.h"
#include "kernels/kernel_table.h"
#include "measure/limits.h"
#include "measure/speed.h"
#include "options.h"
#include "rounders/rounder.h"

namespace carat {
namespace {

/// Best of some runs of something that stays in the caches.
double seconds_of(auto&& body) {
  body();
  double best = 1e30, spent = 0;
  for (int i = 0; i < 50 && (i < 3 || spent < 0.4); ++i) {
    const Stopwatch watch;
    body();
    const double s = watch.seconds();
    best = std::min(best, s);
    spent += s;
  }
  return best;
}

using bench::Shape;

struct Options {
  std::vector<Isa> isas = {available_isas().front()};
  int threads = 1;
  std::vector<Shape> shapes = {{2048, 2048}, {5632, 2048}, {2048, 5632}};
  std::vector<const Encoding*> encodings{all_encodings().begin(), all_encodings().end()};
  std::vector<int64_t> tokens = {1, 8, 512};
  ActivationScheme scheme = ActivationScheme::int8_block;
  bool only_products = false;
};

/// One matrix of normal weights, rounded by the plainest rounder.
std::vector<uint8_t> random_matrix(const Context& context, const KernelTable& k, const Encoding& e,
                                   Shape shape) {
  Random random(1);
  std::vector<float> x(static_cast<size_t>(shape.rows * shape.columns));
  // Products do not mind a matrix that repeats itself, and a logarithm per weight takes its time.
  const size_t distinct = std::min(x.size(), size_t{1} << 20);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = i < distinct ? static_cast<float>(0.02 * random.normal()) : x[i - distinct];
  std::vector<uint8_t> out(static_cast<size_t>(shape.rows) * e.row_bytes(shape.columns));
  const auto* bytes = reinterpret_cast<const uint8_t*>(x.data());
  static_cast<void>(find_rounder("nearest")->round(  // it refuses nothing
      context, k, e, {&encoding_f32(), bytes, shape.rows, shape.columns}, {}, out.data()));
  return out;
}

class Products {
 public:
  Products(const Options& o, const Context& context, const KernelTable& k, const LimitMeter& meter)
      : o_(o), context_(context), k_(k), meter_(meter) {}

  void run() {
    fmt::print("\n{:<8} {:>12} {:>6}  {:>9} {:>8} {:>9} {:>6}\n", "encoding", "shape", "tokens", "us", "GB/s",
               "Gop/s", "share");
    for (const Shape shape : o_.shapes)
      for (const Encoding* e : o_.encodings)
        if (e->fits(shape.columns)) measure(*e, shape);
  }

 private:
  void multiply(const KernelTable& k, const Encoding& e, const uint8_t* weights, Shape shape, int64_t tokens,
                std::vector<float>& y) const {
    const MatmulTarget target{
        {&e, weights, shape.rows, shape.columns, e.row_bytes(shape.columns)}, y.data(), shape.rows};
    matmul(k, context_.pool, o_.scheme, {&target, 1}, x_.data(), shape.columns, tokens);
  }

  /// Some rows, and every number of tokens up to a few: the portable kernels are slow.
  bool agrees(const Encoding& e, const std::vector<uint8_t>& weights, Shape shape) const {
    shape.rows = std::min<int64_t>(shape.rows, 40);
    for (const int64_t tokens : {1, 2, 3, 5, 8, 17}) {
      std::vector<float> mine(static_cast<size_t>(tokens * shape.rows)), oracle(mine.size());
      multiply(k_, e, weights.data(), shape, tokens, mine);
      multiply(portable_table(), e, weights.data(), shape, tokens, oracle);
      if (std::memcmp(mine.data(), oracle.data(), mine.size() * sizeof(float)) != 0) {
        fmt::print("{:<8} {}x{}: {} tokens differ from the portable kernels\n", e.name, shape.rows,
                   shape.columns, tokens);
        return false;
      }
    }
    return true;
  }

  void measure(const Encoding& e, Shape shape) {
    const int64_t most = std::max<int64_t>(17, std::ranges::max(o_.tokens));
    x_.resize(static_cast<size_t>(most * shape.columns));
    for (size_t i = 0; i < x_.size(); ++i)
      x_[i] = static_cast<float>(static_cast<int>(i * 7919 % 2001) - 1000) * 1e-3f;
    const auto matrix = random_matrix(context_, k_, e, shape);
    if (!agrees(e, matrix, shape)) return;
    const size_t copies = std::clamp<size_t>((size_t{256} << 20) / matrix.size(), 1, 256);
    std::vector<std::vector<uint8_t>> cold(copies, matrix);
    std::vector<float> y(static_cast<size_t>(most * shape.rows));
    for (const int64_t tokens : o_.tokens) {
      multiply(k_, e, cold[0].data(), shape, tokens, y);
      const Limits limits = meter_.measure(context_.pool);
      std::vector<double> seconds;
      double spent = 0;
      for (size_t i = 0; i < 3 * copies && (i < 3 || spent < 0.5); ++i) {
        if (i % copies == 0) (void)meter_.measure_read(context_.pool);  // flushes
        const Stopwatch watch;
        multiply(k_, e, cold[i % copies].data(), shape, tokens, y);
        seconds.push_back(watch.seconds());
        spent += seconds.back();
      }
      const double s = spread(seconds).median;
      Work work;
      work.bytes = static_cast<double>(matrix.size());
      counted(operands(e, o_.scheme), work) = 2.0 * static_cast<double>(shape.rows * shape.columns * tokens);
      const double share = std::max(memory_share(work, limits, s), compute_share(work, limits, s));
      fmt::print("{:<8} {:>12} {:>6}  {:>9.1f} {:>8.2f} {:>9.1f} {:>4.0f} %\n", e.name,
                 fmt::format("{}x{}", shape.rows, shape.columns), tokens, s * 1e6, work.bytes / s * 1e-9,
                 work.operations() / s * 1e-9, 100 * share);
      std::fflush(stdout);
    }
  }

  const Options& o_;
  const Context& context_;
  const KernelTable& k_;
  const LimitMeter& meter_;
  std::vector<float> x_;
};

struct AttentionShape {
  int heads, kv_heads, head_dim;
};

/// Keys and values of one token are read from memory, beside its read bandwidth in the same run.
void bench_attention(const KernelTable& k, ThreadPool& pool, double bandwidth) {
  for (const AttentionShape& shape : {AttentionShape{9, 3, 64}, {32, 4, 64}, {32, 8, 128}})
    for (KvEncoding encoding : {KvEncoding::f16, KvEncoding::q8_0})
      for (auto [tokens, depth] :
           {std::pair<int64_t, int64_t>{512, 512}, {512, 8192}, {1, 2048}, {1, 8192}, {1, 32768}}) {
        const KvFormat format{encoding, shape.kv_heads, shape.head_dim};
        // As many layers as exceed the caches.
        const int64_t layers =
            tokens > 1 ? 1 : std::max<int64_t>(1, (int64_t{256} << 20) / format.bytes(depth));
        std::vector<float> q(static_cast<size_t>(tokens * shape.heads * shape.head_dim), 0.1f), out(q.size());
        std::vector<uint8_t> cache(static_cast<size_t>(layers * format.bytes(depth)), 0x11);
        AttentionArgs a;
        a.q = q.data();
        a.out = out.data();
        a.format = format;
        a.tokens = tokens;
        a.first_position = depth - tokens;
        a.heads = shape.heads;
        a.scale = 0.125f;
        const double s = seconds_of([&] {
                           for (int64_t l = 0; l < layers; ++l) {
                             a.cache = cache.data() + l * format.bytes(depth);
                             attention(k, pool, {&a, 1});
                           }
                         }) /
                         static_cast<double>(layers);
        const auto n = static_cast<double>(tokens), seen = static_cast<double>(depth) - (n - 1) / 2;
        fmt::print("{:>2} heads on {} of {:>3}, {:<4} {:>3} tokens to {:>5}: {:9.1f} us, {:6.1f} Gop/s",
                   shape.heads, shape.kv_heads, shape.head_dim, kv_encoding_name(encoding), tokens, depth,
                   s * 1e6, 4.0 * n * seen * shape.heads * shape.head_dim / s * 1e-9);
        const auto bytes = static_cast<double>(format.bytes(depth));
        if (tokens == 1)
          fmt::print(", {:5.1f} GB/s, {:2.0f} %", bytes / s * 1e-9, 100 * bytes / s / bandwidth);
        fmt::print("\n");
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

Status run(const Options& o) {
  ThreadPool pool(o.threads);
  const Cancellation cancellation;
  Progress progress;
  const Context context{pool, cancellation, progress};
  for (const Isa isa : o.isas) {
    const KernelTable& k = *kernel_table(isa);
    const LimitMeter meter(k);
    const Limits l = meter.measure(pool);
    fmt::print("{}, {} threads: reads {:.1f} GB/s; int8 {:.0f}, bf16 {:.0f}, f32 {:.0f} Gop/s\n",
               isa_name(isa), pool.threads(), l.read * 1e-9, l.int8 * 1e-9, l.bf16 * 1e-9, l.f32 * 1e-9);
    Products(o, context, k, meter).run();
    if (o.only_products) continue;
    fmt::print("\n");
    bench_attention(k, pool, l.read);
    bench_rows(k);
  }
  return {};
}

}  // namespace
}  // namespace carat

int main(int argc, char** argv) {
  using namespace carat;
  Options o;
  const bench::Take only = [&](const std::string& part) {
    o.only_products = part == "products";
    return o.only_products;
  };
  return bench::run_program(
      argc, argv, "kernel_bench",
      {{"--isa", bench::isas(o.isas)},
       {"--threads", bench::positive(o.threads)},
       {"--shapes", bench::shapes(o.shapes)},
       {"--encodings", bench::encodings(o.encodings, [](const Encoding& e) { return e.can_decode(); })},
       {"--tokens", bench::positives(o.tokens)},
       {"--scheme", bench::one_of(o.scheme, activation_scheme_name,
                                  {ActivationScheme::int8_block, ActivationScheme::int8_32,
                                   ActivationScheme::bfloat16, ActivationScheme::float32})},
       {"--only", only}},
      [&] { return run(o); });
}
