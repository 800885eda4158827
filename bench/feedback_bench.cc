// A workbench for error feedback: how long a Hessian takes to sum up and to factor, and a matrix to round.
//
//   feedback_bench [--isa avx512,avx2] [--encodings Q4_K,Q3_K] [--shapes 2048x2048,5632x2048] [--threads 1,2]
//                  [--order descending] [--scheme bfloat16|float32]
//
// Weights are normal ones; Hessians are of rank 8 beside their diagonals. Printed per shape and number of
// threads, after that of the machine: milliseconds that 512 tokens' products take to be added to a Hessian,
// 10^9 operations per second and the share of the peak of bf16 or f32, measured right before. Per shape,
// encoding and number of threads, each the best of three: seconds to factor and 10^9 operations per second
// (columns^3 / 3 of them), seconds to round and million weights per second, and the same with the search
// alone.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/stopwatch.h"
#include "kernels/kernel_table.h"
#include "measure/work.h"
#include "options.h"
#include "rounders/rounder.h"
#include "stats/gram.h"

namespace carat {
namespace {

using bench::Shape;

struct Options {
  std::vector<Isa> isas = {available_isas().front()};
  std::vector<const Encoding*> encodings = {find_encoding("Q4_K")};
  std::vector<Shape> shapes = {{2048, 2048}, {5632, 2048}, {2048, 5632}};
  std::vector<int> threads = {1, 2};
  ColumnOrder order = ColumnOrder::natural;
  ActivationScheme scheme = ActivationScheme::bfloat16;
};

/// (I + V V^T) between scales that differ from column to column.
std::vector<float> made_up_hessian(int64_t columns) {
  constexpr size_t kRank = 8;
  Random random(1);
  const auto n = static_cast<size_t>(columns);
  std::vector<double> v(n * kRank), scale(n);
  for (double& s : scale) s = std::exp(0.7 * random.normal());
  for (double& x : v) x = 0.4 * random.normal();
  std::vector<float> h(n * n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      double sum = i == j ? 1 : 0;
      for (size_t k = 0; k < kRank; ++k) sum += v[i * kRank + k] * v[j * kRank + k];
      h[i * n + j] = static_cast<float>(scale[i] * scale[j] * sum);
    }
  return h;
}

/// Shortest of three, in seconds.
Result<double> timed(const std::function<Status()>& work) {
  double best = 1e30;
  for (int i = 0; i < 3; ++i) {
    const Stopwatch watch;
    CARAT_DO(work());
    best = std::min(best, watch.seconds());
  }
  return best;
}

/// Of half a triangle of products.
Status measure_gram(const Options& o, const KernelTable& k, int64_t columns, ThreadPool& pool) {
  constexpr int64_t kTokens = 512;
  Random random(3);
  std::vector<float> x(static_cast<size_t>(kTokens * columns)), h(static_cast<size_t>(columns * columns));
  for (float& v : x) v = static_cast<float>(random.normal());
  const Limits limits = LimitMeter(k).measure(pool);
  CARAT_TRY(const double seconds, timed([&]() -> Status {
              accumulate_gram(pool, k, o.scheme, x.data(), kTokens, columns, h.data());
              return {};
            }));
  Work work;
  counted(operands(encoding_f32(), o.scheme), work) = static_cast<double>(columns * (columns + 1) * kTokens);
  fmt::print("{:<8} {} columns, {} threads, {}: {:.2f} ms, {:.1f} G/s, {:.0f} % of the peak\n",
             isa_name(k.isa), columns, pool.threads(), activation_scheme_name(o.scheme), seconds * 1e3,
             work.operations() / seconds * 1e-9, 100 * compute_share(work, limits, seconds));
  return {};
}

Status measure(const Options& o, const KernelTable& k, Shape shape, int threads) {
  ThreadPool pool(threads);
  const Cancellation never;
  Progress silent;
  const Context context{pool, never, silent};
  Random random(2);
  std::vector<float> w(static_cast<size_t>(shape.rows * shape.columns));
  for (float& x : w) x = static_cast<float>(0.02 * random.normal());
  const SourceRows source{&encoding_f32(), reinterpret_cast<const uint8_t*>(w.data()), shape.rows,
                          shape.columns};
  const std::vector<float> hessian = made_up_hessian(shape.columns);
  FeedbackFactor factor;
  CARAT_TRY(const double factoring, timed([&]() -> Status {
              CARAT_TRY(factor, prepare_feedback(context, k, hessian, shape.columns, {.order = o.order}));
              return {};
            }));
  const double operations = std::pow(static_cast<double>(shape.columns), 3) / 3;
  CARAT_DO(measure_gram(o, k, shape.columns, pool));
  for (const Encoding* e : o.encodings) {
    if (!e->fits(shape.columns)) continue;
    std::vector<uint8_t> out(static_cast<size_t>(shape.rows) * e->row_bytes(shape.columns));
    const auto round = [&](std::string_view method) {
      return timed([&]() -> Status {
        CARAT_DO(find_rounder(method)->round(context, k, *e, source,
                                             {.importance = factor.weight, .feedback = &factor}, out.data()));
        return {};
      });
    };
    CARAT_TRY(const double feedback, round("gptq"));
    CARAT_TRY(const double search, round("search"));
    const double millions = static_cast<double>(w.size()) * 1e-6;
    fmt::print("{:<8} {:>5} x {:<5} {:<8} {:>7} {:8.3f} {:8.1f} {:8.3f} {:8.2f} {:8.3f} {:8.2f}\n",
               isa_name(k.isa), shape.rows, shape.columns, e->name, pool.threads(), factoring,
               operations / factoring * 1e-9, feedback, millions / feedback, search, millions / search);
    std::fflush(stdout);
  }
  return {};
}

Status run(const Options& o) {
  fmt::print("{:<8} {:<13} {:<8} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}\n", "isa", "shape", "encoding",
             "threads", "factor s", "G/s", "gptq s", "M/s", "search s", "M/s");
  for (const Isa isa : o.isas)
    for (const int threads : o.threads)
      for (const Shape shape : o.shapes) CARAT_DO(measure(o, *kernel_table(isa), shape, threads));
  return {};
}

}  // namespace
}  // namespace carat

int main(int argc, char** argv) {
  using namespace carat;
  Options o;
  const auto can_round = [](const Encoding& e) { return find_rounder("gptq")->supports(e); };
  return bench::run_program(
      argc, argv, "feedback_bench",
      {{"--isa", bench::isas(o.isas)},
       {"--encodings", bench::encodings(o.encodings, can_round)},
       {"--shapes", bench::shapes(o.shapes)},
       {"--threads", bench::positives(o.threads)},
       {"--order",
        bench::one_of(o.order, column_order_name, {ColumnOrder::natural, ColumnOrder::descending})},
       {"--scheme", bench::one_of(o.scheme, activation_scheme_name,
                                  {ActivationScheme::bfloat16, ActivationScheme::float32})}},
      [&] { return run(o); });
}
