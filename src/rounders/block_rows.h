// What rounders have in common: rows are decoded, a few at a time on each thread, rounded, and what they lost
// is measured.
#pragma once

#include <algorithm>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "base/checked.h"
#include "kernels/kernel_table.h"
#include "kernels/search_table.h"
#include "rounders/rounder.h"

namespace carat {

/// decode_rows(), the rows split over the pool.
inline void decode_rows(ThreadPool& pool, const SearchTable& table, const Encoding& e, const uint8_t* in,
                        int64_t rows, int64_t columns, float* out) {
  const uint64_t row_bytes = e.row_bytes(columns);
  pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
    decode_rows(table, e, in + static_cast<uint64_t>(begin) * row_bytes, end - begin, columns,
                out + begin * columns);
  });
}

/// Importance divided by its maximum, so that no product with it overflows. A column without importance keeps
/// a trace of it: its leaf may have nothing else to be fitted to. Empty where all columns count alike.
std::vector<float> normalised_importance(std::span<const float> importance);

/// Memory of one thread for the tables' functions.
class TaskScratch {
 public:
  explicit TaskScratch(int threads) : memory_(static_cast<size_t>(threads)) {}
  /// At least `bytes` (the same in each call), aligned to 64.
  void* of(int thread, int64_t bytes) {
    auto& memory = memory_[static_cast<size_t>(thread)];
    if (!memory)
      memory.reset(
          static_cast<std::byte*>(::operator new (static_cast<size_t>(bytes), std::align_val_t{kAlignment})));
    return memory.get();
  }

 private:
  static constexpr size_t kAlignment = 64;
  struct Delete {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{kAlignment}); }
  };
  std::vector<std::unique_ptr<std::byte[], Delete>> memory_;
};

/// How rows of a grouped encoding are laid out; nothing for others.
inline GroupShape shape_of(const Encoding& e, int64_t columns) {
  return e.is_grouped() ? group_shape(e, columns) : GroupShape();
}

/// An internal error where rows share parameters that the guide lacks.
inline Status check_shared(const Encoding& e, const ColumnGuide& guide) {
  if (e.shared_rows != 1 && (guide.scale.empty() || guide.zero.empty()))
    return error(Code::internal, "rows of {} share parameters, and none were chosen", e.name);
  return {};
}

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
      decode_rows(table, *source.encoding, source.bytes + first * source_row_bytes, count, columns, weights);
      choose(RowsTask{.weights = weights,
                      .first = first,
                      .rows = count,
                      .out = out + first * row_bytes,
                      .thread = thread,
                      .errors = task_errors});
      for (int64_t r = 0; r < count; ++r) {
        decode_rows(table, e, out + (first + r) * row_bytes, 1, columns, rounded);
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
