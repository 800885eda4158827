// What rounders have in common: rows are decoded, a few at a time on each thread, rounded, and what they lost
// is measured.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "base/checked.h"
#include "kernels/kernel_table.h"
#include "kernels/search_table.h"
#include "rounders/rounder.h"

namespace carat {

/// Importance divided by its maximum, so that no product with it overflows. A column without importance keeps
/// a trace of it: its leaf may have nothing else to be fitted to. Empty where all columns count alike.
std::vector<float> normalised_importance(std::span<const float> importance);

/// Some rows on their way.
struct RowsTask {
  const float* weights = nullptr;  ///< [rows, columns]
  int64_t first = 0, rows = 0;
  uint8_t* out = nullptr;
  int thread = 0;
  RoundingError* errors = nullptr;  ///< [rows]
};

/// Calls choose(RowsTask) for up to `task_rows` rows at a time, from all threads. The error is added up in
/// the order of rows.
template <class Choose>
RoundingError round_in_tasks(const Context& context, const KernelTable& kernels, const Encoding& e,
                             const SourceRows& source, std::span<const float> importance, int64_t task_rows,
                             uint8_t* out, Choose&& choose) {
  const SearchTable& table = search_table(kernels.isa);
  const DecodeValues decode_source = table.decode[search_position(*source.encoding)];
  const DecodeValues decode = table.decode[search_position(e)];
  const MeasureRow measure = e.is_float ? table.measure_floats : table.measure;
  const int64_t rows = source.rows, columns = source.columns;
  const auto source_row_bytes = static_cast<int64_t>(source.encoding->row_bytes(columns));
  const auto row_bytes = static_cast<int64_t>(e.row_bytes(columns));
  std::vector<RoundingError> errors(static_cast<size_t>(rows));
  // Per thread: the weights of a task's rows, and what one of them became.
  std::vector<std::unique_ptr<float[]>> scratch(static_cast<size_t>(context.pool.threads()));
  context.pool.parallel_for(ceil_div(rows, task_rows), 1, [&](int64_t begin, int64_t end, int thread) {
    auto& floats = scratch[static_cast<size_t>(thread)];
    if (!floats)
      floats = std::make_unique_for_overwrite<float[]>(static_cast<size_t>((task_rows + 1) * columns));
    float *const weights = floats.get(), *const rounded = weights + task_rows * columns;
    for (int64_t first = begin * task_rows; first < std::min(rows, end * task_rows); first += task_rows) {
      if (context.cancellation.requested()) return;
      const int64_t count = std::min(rows - first, task_rows);
      RoundingError* const task_errors = errors.data() + first;
      decode_source(source.bytes + first * source_row_bytes, weights, count * columns);
      choose(RowsTask{.weights = weights,
                      .first = first,
                      .rows = count,
                      .out = out + first * row_bytes,
                      .thread = thread,
                      .errors = task_errors});
      for (int64_t r = 0; r < count; ++r) {
        decode(out + (first + r) * row_bytes, rounded, columns);
        measure(weights + r * columns, rounded, columns, importance.empty() ? nullptr : importance.data(),
                task_errors[r]);
      }
    }
  });
  RoundingError sum;
  for (const RoundingError& row : errors) sum.add(row);
  return sum;
}

}  // namespace carat
