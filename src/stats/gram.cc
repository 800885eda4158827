#include "stats/gram.h"

#include <algorithm>
#include <memory>
#include <optional>
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
struct JobSize {
  int64_t rows, columns;
};

/// Up to kGramTokens tokens' activations as floats, transposed.
class FloatColumns {
 public:
  static constexpr JobSize kJob{128, 512};
  static constexpr int64_t kWide = kPanelRows;  ///< columns of h at a time

  FloatColumns(const KernelTable& kernels, int64_t tokens, int64_t columns)
      : product_(kernels.exact[AllEncodings::index_of<F32>()]),
        stride_(tokens + kBlock),  // rows in different sets of the caches
        transposed_(std::make_unique_for_overwrite<float[]>(static_cast<size_t>(columns * stride_))) {}

  void take(ThreadPool& pool, const float* x, int64_t tokens, int64_t columns) {
    tokens_ = tokens;
    pool.parallel_for(ceil_div(columns, kBlock), 4, [&](int64_t begin, int64_t end, int) {
      transpose(x, tokens, columns, begin * kBlock, std::min(columns, end * kBlock), transposed_.get(),
                stride_);
    });
  }
  /// sums[i - begin, k] of the columns i in [begin, end) of `a` and j + k, k < wide, of this; [end - begin,
  /// kWide].
  void multiply(const FloatColumns& a, int64_t begin, int64_t end, int64_t j, int64_t wide,
                float* sums) const {
    WeightRows w;
    w.encoding = &encoding_f32();
    w.data = w.next = reinterpret_cast<const uint8_t*>(transposed_.get() + j * stride_);
    w.row_bytes = stride_ * static_cast<int64_t>(sizeof(float));
    w.rows = static_cast<int>(wide);
    w.columns = tokens_;
    product_(w, {.tokens = end - begin, .x = a.transposed_.get() + begin * stride_, .stride = stride_}, sums,
             kWide);
  }

 private:
  FloatProduct product_;
  int64_t stride_, tokens_ = 0;
  std::unique_ptr<float[]> transposed_;
};

/// The same rounded to bf16.
class Bf16Columns {
 public:
  static constexpr JobSize kJob{256, 128};
  static constexpr int64_t kWide = kBf16Rows;

  Bf16Columns(const KernelTable& kernels, int64_t tokens, int64_t columns)
      : kernels_(kernels), panels_{columns, tokens, nullptr} {
    constexpr size_t kLine = 64 / sizeof(int32_t);
    memory_ = std::make_unique_for_overwrite<int32_t[]>(static_cast<size_t>(panels_.size()) + kLine);
    const auto address = reinterpret_cast<uintptr_t>(memory_.get());
    panels_.pairs = memory_.get() + (64 - address % 64) % 64 / sizeof(int32_t);
  }

  void take(ThreadPool& pool, const float* x, int64_t tokens, int64_t columns) {
    panels_.columns = tokens;
    pool.parallel_for(panels_.panels(), 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t p = begin; p < end; ++p) kernels_.pack_bf16_columns(x, columns, p, panels_);
    });
  }
  void multiply(const Bf16Columns& a, int64_t begin, int64_t end, int64_t j, int64_t wide,
                float* sums) const {
    kernels_.bf16_panels(panels_, j, wide, a.panels_, begin, end - begin, sums, kWide);
  }

 private:
  const KernelTable& kernels_;
  Bf16Panels panels_;
  std::unique_ptr<int32_t[]> memory_;
};

/// h [rows, columns] += a^T b; without b, a^T a below and on the diagonal.
template <class Columns>
void accumulate(ThreadPool& pool, const KernelTable& kernels, const float* a, const float* b, int64_t tokens,
                int64_t rows, int64_t columns, float* h) {
  struct Job {
    int64_t row, column;
  };
  constexpr JobSize kJob = Columns::kJob;
  constexpr int64_t kWide = Columns::kWide;
  const bool all = b != nullptr;
  std::vector<Job> jobs;
  for (int64_t row = 0; row < rows; row += kJob.rows)
    for (int64_t column = 0; column < (all ? columns : std::min(columns, row + kJob.rows));
         column += kJob.columns)
      jobs.push_back({row, column});

  const int64_t at_once = std::min(tokens, kGramTokens);
  Columns of_a(kernels, at_once, rows);
  std::optional<Columns> of_b;
  if (all) of_b.emplace(kernels, at_once, columns);
  for (int64_t first = 0; first < tokens; first += kGramTokens) {
    const int64_t n = std::min(kGramTokens, tokens - first);
    of_a.take(pool, a + first * rows, n, rows);
    if (all) of_b->take(pool, b + first * columns, n, columns);
    const Columns& right = all ? *of_b : of_a;
    pool.parallel_for(static_cast<int64_t>(jobs.size()), 1, [&](int64_t job_begin, int64_t job_end, int) {
      alignas(64) float sums[kJob.rows * kWide];
      for (int64_t job = job_begin; job < job_end; ++job) {
        const auto [row, column] = jobs[job];
        const int64_t end = std::min(rows, row + kJob.rows);
        const int64_t columns_end = std::min(all ? columns : end, column + kJob.columns);
        for (int64_t j = column; j < columns_end; j += kWide) {
          const int64_t begin = all ? row : std::max(row, j), wide = std::min(kWide, columns - j);
          right.multiply(of_a, begin, end, j, wide, sums);
          for (int64_t i = begin; i < end; ++i) {
            const float* from = sums + (i - begin) * kWide;
            float* to = h + i * columns + j;
            const int64_t count = all ? wide : std::min(wide, i - j + 1);
            for (int64_t k = 0; k < count; ++k) to[k] += from[k];
          }
        }
      }
    });
  }
}

void accumulate(ThreadPool& pool, const KernelTable& kernels, ActivationScheme scheme, const float* a,
                const float* b, int64_t tokens, int64_t rows, int64_t columns, float* h) {
  const auto with = scheme == ActivationScheme::bfloat16 ? accumulate<Bf16Columns> : accumulate<FloatColumns>;
  with(pool, kernels, a, b, tokens, rows, columns, h);
}

}  // namespace

void accumulate_gram(ThreadPool& pool, const KernelTable& kernels, ActivationScheme scheme, const float* x,
                     int64_t tokens, int64_t columns, float* h) {
  accumulate(pool, kernels, scheme, x, nullptr, tokens, columns, columns, h);
}

void accumulate_cross_gram(ThreadPool& pool, const KernelTable& kernels, ActivationScheme scheme,
                           const float* a, const float* b, int64_t tokens, int64_t rows, int64_t columns,
                           float* h) {
  accumulate(pool, kernels, scheme, a, b, tokens, rows, columns, h);
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
