// What tools/oracle_gptq.py compares with the paper's algorithm: rounds a matrix with error feedback.
//
//   gptq_driver ENCODING ROWS COLUMNS SHRINK DAMP natural|descending|grouped
//
// Standard input: the Hessian [columns, columns], then the weights [rows, columns], float32. Standard output:
// the rounded rows.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "kernels/kernel_table.h"
#include "rounders/rounder.h"

namespace carat {
namespace {

Result<std::vector<float>> read_floats(int64_t count) {
  std::vector<float> x(static_cast<size_t>(count));
  if (std::fread(x.data(), sizeof(float), x.size(), stdin) != x.size())
    return bad_data("standard input ends before {} numbers", count);
  return x;
}

Status run(char** argv) {
  const Encoding* encoding = find_encoding(argv[1]);
  const int64_t rows = std::atoll(argv[2]), columns = std::atoll(argv[3]);
  if (!encoding || !encoding->can_decode() || rows <= 0 || !encoding->fits(columns))
    return usage_error("{} rows of {} columns do not go into {}", rows, columns, argv[1]);
  CARAT_TRY(const auto hessian, read_floats(columns * columns));
  CARAT_TRY(const auto weights, read_floats(rows * columns));
  ThreadPool pool;
  const Cancellation never;
  Progress silent;
  const Context context{pool, never, silent};
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  const std::string_view kind = argv[6];
  const FeedbackOptions options{.shrink = std::atof(argv[4]),
                                .damp = std::atof(argv[5]),
                                .order = kind == "descending" ? ColumnOrder::descending
                                         : kind == "grouped"  ? ColumnOrder::grouped
                                                              : ColumnOrder::natural,
                                .block = encoding->block,
                                .leaf = encoding->leaf};
  CARAT_TRY(const FeedbackFactor factor, prepare_feedback(context, *kernels, hessian, columns, options));
  std::vector<uint8_t> out(static_cast<size_t>(rows) * encoding->row_bytes(columns));
  const SourceRows source{&encoding_f32(), reinterpret_cast<const uint8_t*>(weights.data()), rows, columns};
  CARAT_DO(
      find_rounder("gptq")->round(context, *kernels, *encoding, source, {.feedback = &factor}, out.data()));
  if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size() || std::fflush(stdout) != 0)
    return error(Code::io, "standard output cannot be written");
  return {};
}

}  // namespace
}  // namespace carat

int main(int argc, char** argv) {
  if (argc != 7) {
    fmt::print(stderr, "usage: gptq_driver ENCODING ROWS COLUMNS SHRINK DAMP natural|descending|grouped\n");
    return 64;
  }
  const carat::Status status = carat::run(argv);
  if (!status) fmt::print(stderr, "gptq_driver: {}\n", status.error().message);
  return status ? 0 : 1;
}
