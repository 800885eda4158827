// A workbench for error feedback: how long a Hessian takes to factor, and a matrix to round.
//
//   feedback_bench [--isa avx512,avx2] [--encodings Q4_K,Q3_K] [--shapes 2048x2048,5632x2048] [--threads 1,2]
//                  [--order descending]
//
// Weights are normal ones; Hessians are of rank 8 beside their diagonals. Printed per shape, encoding and
// number of threads, each the best of three: seconds to factor and 10^9 operations per second (columns^3 / 3
// of them), seconds to round and million weights per second, and the same with the search alone.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/stopwatch.h"
#include "kernels/kernel_table.h"
#include "rounders/rounder.h"

namespace carat {
namespace {

struct Shape {
  int64_t rows = 0, columns = 0;
};

struct Options {
  std::vector<Isa> isas = {available_isas().front()};
  std::vector<const Encoding*> encodings = {find_encoding("Q4_K")};
  std::vector<Shape> shapes = {{2048, 2048}, {5632, 2048}, {2048, 5632}};
  std::vector<int> threads = {1, 2};
  ColumnOrder order = ColumnOrder::natural;
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

std::vector<std::string> split(std::string_view list, char at) {
  std::vector<std::string> out(1);
  for (const char c : list) {
    if (c == at)
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

/// False where an option or its value is not understood.
bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    const auto words = split(argv[i + 1], ',');
    if (option == "--isa") {
      o.isas.clear();
      for (const Isa isa : available_isas())
        if (std::ranges::find(words, isa_name(isa)) != words.end()) o.isas.push_back(isa);
      if (o.isas.size() != words.size()) return false;
    } else if (option == "--encodings") {
      o.encodings.clear();
      for (const std::string& word : words) {
        o.encodings.push_back(find_encoding(word));
        if (!o.encodings.back() || !find_rounder("gptq")->supports(*o.encodings.back())) return false;
      }
    } else if (option == "--shapes") {
      o.shapes.clear();
      for (const std::string& word : words) {
        const auto sides = split(word, 'x');
        if (sides.size() != 2) return false;
        o.shapes.push_back({std::atoll(sides[0].c_str()), std::atoll(sides[1].c_str())});
        if (o.shapes.back().rows <= 0 || o.shapes.back().columns <= 0) return false;
      }
    } else if (option == "--threads") {
      o.threads.clear();
      for (const std::string& word : words) {
        o.threads.push_back(std::atoi(word.c_str()));
        if (o.threads.back() <= 0) return false;
      }
    } else if (option == "--order") {
      if (words.front() == "descending")
        o.order = ColumnOrder::descending;
      else if (words.front() != "natural")
        return false;
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
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
  if (!parse(argc, argv, o)) {
    fmt::print(
        stderr,
        "feedback_bench: an option is unknown, or its value is; the head of feedback_bench.cc lists them\n");
    return 64;
  }
  const Status status = run(o);
  if (!status) fmt::print(stderr, "feedback_bench: {}\n", status.error().message);
  return status ? 0 : 1;
}
