#include "stats/gram.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "base/checked.h"
#include "kernels/kernel_table.h"

namespace carat {
namespace {

constexpr int64_t kBlock = 16;  ///< of a transposition: a cache line of floats

/// to[c, t] = x[t, c] for the columns [begin, end).
void transpose(const float* x, int64_t tokens, int64_t columns, int64_t begin, int64_t end, float* to,
               int64_t stride) {
  for (int64_t t = 0; t < tokens; t += kBlock) {
    const int64_t count = std::min(kBlock, tokens - t);
    for (int64_t c = begin; c < end; ++c)
      for (int64_t i = 0; i < count; ++i) to[c * stride + t + i] = x[(t + i) * columns + c];
  }
}

/// A job's part of h, and how much of the transposed activations it goes through again and again: the rows
/// stay in the second-level cache while the panels of columns stream by.
constexpr int64_t kJobRows = 128, kJobColumns = 512;

}  // namespace

void accumulate_gram(ThreadPool& pool, const KernelTable& kernels, const float* x, int64_t tokens,
                     int64_t columns, float* h) {
  const FloatProduct product = kernels.exact[AllEncodings::index_of<F32>()];
  const int64_t stride = std::min(tokens, kGramTokens) + kBlock;  // rows in different sets of the caches
  const auto transposed = std::make_unique_for_overwrite<float[]>(columns * stride);
  struct Job {
    int64_t row, column;
  };
  std::vector<Job> jobs;
  for (int64_t row = 0; row < columns; row += kJobRows)
    for (int64_t column = 0; column < std::min(columns, row + kJobRows); column += kJobColumns)
      jobs.push_back({row, column});

  /// h[i, j] for the rows [begin, end) and the 16 columns from j on.
  const auto add_panel = [&](int64_t n, int64_t begin, int64_t end, int64_t j) {
    alignas(64) float sums[kJobRows * kPanelRows];  // [end - begin, kPanelRows]
    const int64_t wide = std::min<int64_t>(kPanelRows, columns - j);
    WeightRows w;
    w.encoding = &encoding_f32();
    w.data = w.next = reinterpret_cast<const uint8_t*>(transposed.get() + j * stride);
    w.row_bytes = stride * static_cast<int64_t>(sizeof(float));
    w.rows = static_cast<int>(wide);
    w.columns = n;
    product(w, {.tokens = end - begin, .x = transposed.get() + begin * stride, .stride = stride}, sums,
            kPanelRows);
    for (int64_t i = begin; i < end; ++i) {
      const float* from = sums + (i - begin) * kPanelRows;
      float* to = h + i * columns + j;
      const int64_t count = std::min(wide, i - j + 1);
      for (int64_t k = 0; k < count; ++k) to[k] += from[k];
    }
  };
  for (int64_t first = 0; first < tokens; first += kGramTokens) {
    const int64_t n = std::min(kGramTokens, tokens - first);
    pool.parallel_for(ceil_div(columns, kBlock), 4, [&](int64_t begin, int64_t end, int) {
      transpose(x + first * columns, n, columns, begin * kBlock, std::min(columns, end * kBlock),
                transposed.get(), stride);
    });
    pool.parallel_for(static_cast<int64_t>(jobs.size()), 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t job = begin; job < end; ++job) {
        const auto [row, column] = jobs[job];
        const int64_t rows_end = std::min(columns, row + kJobRows);
        const int64_t columns_end = std::min(rows_end, column + kJobColumns);
        for (int64_t j = column; j < columns_end; j += kPanelRows)
          add_panel(n, std::max(row, j), rows_end, j);
      }
    });
  }
}

void mirror_gram(ThreadPool& pool, float* h, int64_t columns) {
  // Square by square, so that what is read and what is written both stay in cache.
  constexpr int64_t square = 64;
  pool.parallel_for(ceil_div(columns, square), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i0 = begin * square; i0 < std::min(columns, end * square); i0 += square)
      for (int64_t j0 = i0; j0 < columns; j0 += square)
        for (int64_t i = i0; i < std::min(i0 + square, columns); ++i)
          for (int64_t j = std::max(j0, i + 1); j < std::min(j0 + square, columns); ++j)
            h[i * columns + j] = h[j * columns + i];
  });
}

}  // namespace carat
