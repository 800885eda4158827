// A workbench for the searches: how fast each encoding's codes are chosen, and what error they leave.
//
//   rounding_bench [--model FILE.gguf] [--isa avx512,avx2] [--encodings Q4_K,Q6_K] [--method search]
//                  [--weights MILLIONS]
//
// One thread. Weights are normal ones whose scale changes from column to column, or rows of every matrix of
// the file, in the same proportions. Printed per encoding, without importance and with a made-up uneven one:
// million weights per second, squared (importance: weighted) error relative to that of the weights, and a
// digest of the bytes, by which two versions of a search are compared.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/random.h"
#include "containers/gguf.h"
#include "kernels/kernel_table.h"
#include "options.h"
#include "rounders/rounder.h"

namespace carat {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kColumns = 256;  // every encoding's blocks fit

struct Options {
  std::string model;
  std::vector<Isa> isas = {available_isas().front()};
  std::vector<const Encoding*> encodings{all_encodings().begin(), all_encodings().end()};
  const Rounder* rounder = all_rounders().front();
  int64_t weights = 1 << 20;
};

std::vector<float> random_weights(int64_t n) {
  Random random(1);
  std::vector<float> scale(kColumns), w(static_cast<size_t>(n));
  for (float& s : scale) s = static_cast<float>(0.03 * std::exp(0.3 * random.normal()));
  for (size_t i = 0; i < w.size(); ++i) w[i] = scale[i % kColumns] * static_cast<float>(random.normal());
  return w;
}

/// Whole pieces of kColumns columns, from rows spread evenly over each matrix.
Result<std::vector<float>> weights_of(const Checkpoint& model, int64_t n) {
  double all = 0;
  for (const Tensor& t : model.tensors)
    if (t.shape.size() == 2) all += static_cast<double>(t.elements());
  const double share = std::min(1.0, static_cast<double>(n) / all);
  std::vector<float> out;
  for (const Tensor& t : model.tensors) {
    if (t.shape.size() != 2) continue;
    const auto rows = std::max<int64_t>(1, std::llround(share * static_cast<double>(t.rows())));
    std::vector<float> row(static_cast<size_t>(t.columns()));
    for (int64_t r = 0; r < rows; ++r) {
      CARAT_DO(t.read_rows(r * t.rows() / rows, 1, row.data()));
      out.insert(out.end(), row.begin(), row.end() - t.columns() % kColumns);
    }
  }
  return out;
}

Status measure(const Options& o, const KernelTable& k, const Encoding& e, const std::vector<float>& w,
               const std::vector<float>& importance) {
  ThreadPool pool(1);
  const Cancellation never;
  Progress silent;
  const auto rows = static_cast<int64_t>(w.size()) / kColumns;
  std::vector<uint8_t> out(static_cast<size_t>(rows) * e.row_bytes(kColumns));
  double best = 1e30;
  RoundingError error;
  for (int i = 0; i < 3; ++i) {
    const auto start = Clock::now();
    const SourceRows source{&encoding_f32(), reinterpret_cast<const uint8_t*>(w.data()), rows, kColumns};
    CARAT_TRY(error,
              o.rounder->round({pool, never, silent}, k, e, source, {.importance = importance}, out.data()));
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  fmt::print("{:<8} {:<8} {:<9} {:8.2f} {:.9e} {:016x}\n", isa_name(k.isa), e.name,
             importance.empty() ? "even" : "uneven", static_cast<double>(w.size()) / best * 1e-6,
             error.weighted_error / error.squared_weight, xxh3(out));
  std::fflush(stdout);
  return {};
}

Status run(const Options& o) {
  std::vector<float> weights = random_weights(o.weights / kColumns * kColumns);
  if (!o.model.empty()) {
    CARAT_TRY(const Checkpoint model, read_gguf(o.model));
    CARAT_TRY(weights, weights_of(model, o.weights));
  }
  Random random(2);
  std::vector<float> uneven(kColumns);
  for (float& i : uneven) i = static_cast<float>(std::exp(1.5 * random.normal()));
  fmt::print("{:<8} {:<8} {:<9} {:>8} {:<15} {}\n", "isa", "encoding", "columns", "M/s", "error", "digest");
  for (const Isa isa : o.isas)
    for (const Encoding* e : o.encodings)
      for (const auto& importance : {std::vector<float>(), uneven})
        CARAT_DO(measure(o, *kernel_table(isa), *e, weights, importance));
  return {};
}

}  // namespace
}  // namespace carat

int main(int argc, char** argv) {
  using namespace carat;
  Options o;
  const bench::Take model = [&](const std::string& path) {
    o.model = path;
    return true;
  };
  const bench::Take method = [&](const std::string& name) {
    o.rounder = find_rounder(name);
    return o.rounder != nullptr;
  };
  const bench::Take weights = [&](const std::string& millions) {
    o.weights = std::llround(std::atof(millions.c_str()) * (1 << 20));
    return o.weights >= kColumns;
  };
  return bench::run_program(
      argc, argv, "rounding_bench",
      {{"--isa", bench::isas(o.isas)},
       {"--encodings", bench::encodings(o.encodings, [](const Encoding& e) { return e.can_decode(); })},
       {"--model", model},
       {"--method", method},
       {"--weights", weights}},
      [&] { return run(o); });
}
