#include "rounders/feedback_solve.h"

#include <algorithm>
#include <vector>

#include "kernels/search_table.h"

namespace carat {
namespace {

constexpr int64_t kBlock = 128;  ///< columns that are solved for before the others take them up
/// Columns come in multiples of it; a block's own are taken up so many at a time, which compilers make
/// vectors of.
constexpr int64_t kStep = 32;
constexpr int64_t kRows = 256;  ///< of x at a time

/// R[j][k], j <= k or both in one slice.
float ratio(const FeedbackFactor& f, int64_t j, int64_t k) {
  const int64_t s = k / kFeedbackSlice;
  return f.slices[static_cast<size_t>(kFeedbackSlice * kFeedbackSlice * s * (s + 1) / 2 + j * kFeedbackSlice +
                                      k % kFeedbackSlice)];
}

/// One block's columns [begin, end), and how the others depend on them.
class BlockSolve {
 public:
  BlockSolve(const Context& context, const KernelTable& kernels, const FeedbackFactor& f)
      : context_(context),
        kernels_(kernels),
        f_(f),
        others_(static_cast<size_t>(f.columns * kBlock)),
        sums_(static_cast<size_t>(kRows * f.columns)) {}

  /// u in [begin, end), and x before it without what those explain.
  void backwards(float* x, int64_t rows, int64_t begin, int64_t end) {
    const int64_t wide = end - begin;
    pack_own(begin, end, [&](int64_t k, int64_t j) { return j < k ? ratio(f_, j, k) : 0.0f; });
    each_row(
        x, rows,
        [&](float* own) {
          for (int64_t k = wide - 1; k > 0; --k) subtract(own[k], own_.data() + k * wide, 0, k, own);
        },
        begin);
    pack_others(0, begin, wide, [&](int64_t j, int64_t i) { return ratio(f_, j, begin + i); });
    subtract_others(x, rows, begin, wide, 0, begin);
  }
  /// z in [begin, end), and x behind it likewise.
  void forwards(float* x, int64_t rows, int64_t begin, int64_t end) {
    const int64_t wide = end - begin;
    pack_own(begin, end, [&](int64_t j, int64_t k) { return j < k ? ratio(f_, j, k) : 0.0f; });
    each_row(
        x, rows,
        [&](float* own) {
          for (int64_t j = 0; j + 1 < wide; ++j) subtract(own[j], own_.data() + j * wide, j + 1, wide, own);
        },
        begin);
    pack_others(end, f_.columns, wide, [&](int64_t k, int64_t i) { return ratio(f_, begin + i, k); });
    subtract_others(x, rows, begin, wide, end, f_.columns);
  }

 private:
  /// In [begin, end), and around that in whole steps, where own_ is 0.
  static void subtract(float factor, const float* __restrict from, int64_t begin, int64_t end,
                       float* __restrict x) {
    for (int64_t at = begin / kStep * kStep; at < end; at += kStep)
      for (int64_t i = 0; i < kStep; ++i) x[at + i] -= factor * from[at + i];
  }

  template <class Value>
  void pack_own(int64_t begin, int64_t end, Value&& value) {
    const int64_t wide = end - begin;
    own_.resize(static_cast<size_t>(wide * wide));
    for (int64_t a = 0; a < wide; ++a)
      for (int64_t b = 0; b < wide; ++b)
        own_[static_cast<size_t>(a * wide + b)] = value(begin + a, begin + b);
  }

  /// Rows [first, last) of `wide` values.
  template <class Value>
  void pack_others(int64_t first, int64_t last, int64_t wide, Value&& value) {
    context_.pool.parallel_for(last - first, 32, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t i = 0; i < wide; ++i) others_[static_cast<size_t>(r * wide + i)] = value(first + r, i);
    });
  }

  template <class Body>
  void each_row(float* x, int64_t rows, Body&& body, int64_t at) {
    context_.pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) body(x + r * f_.columns + at);
    });
  }

  /// x[first, last) -= x[at, at + wide) others_^T.
  void subtract_others(float* x, int64_t rows, int64_t at, int64_t wide, int64_t first, int64_t last) {
    const int64_t count = last - first;
    if (count == 0) return;
    const WeightView weight{&encoding_f32(), reinterpret_cast<const uint8_t*>(others_.data()), count, wide,
                            static_cast<uint64_t>(wide) * sizeof(float)};
    const MatmulTarget target{weight, sums_.data(), count};
    for (int64_t r = 0; r < rows; r += kRows) {
      const int64_t some = std::min(kRows, rows - r);
      matmul(kernels_, context_.pool, ActivationScheme::float32, {&target, 1}, x + r * f_.columns + at,
             f_.columns, some);
      context_.pool.parallel_for(some, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) {
          float* to = x + (r + i) * f_.columns + first;
          const float* from = sums_.data() + i * count;
          for (int64_t c = 0; c < count; ++c) to[c] -= from[c];
        }
      });
    }
  }

  const Context& context_;
  const KernelTable& kernels_;
  const FeedbackFactor& f_;
  std::vector<float> own_, others_, sums_;
};

/// x in the order of positions, or from it.
void reorder(const Context& context, const FeedbackFactor& f, std::span<float> x, bool back) {
  if (f.order.empty()) return;
  const int64_t n = f.columns;
  context.pool.parallel_for(static_cast<int64_t>(x.size()) / n, 1, [&](int64_t begin, int64_t end, int) {
    std::vector<float> row(static_cast<size_t>(n));
    for (int64_t r = begin; r < end; ++r) {
      float* const values = x.data() + r * n;
      for (int64_t p = 0; p < n; ++p) {
        const int64_t column = f.order[static_cast<size_t>(p)];
        row[static_cast<size_t>(back ? column : p)] = values[back ? p : column];
      }
      std::ranges::copy(row, values);
    }
  });
}

}  // namespace

Status solve_feedback(const Context& context, const KernelTable& kernels, const FeedbackFactor& f,
                      std::span<float> x) {
  const int64_t n = f.columns, rows = static_cast<int64_t>(x.size()) / n;
  if (rows * n != static_cast<int64_t>(x.size()))
    return error(Code::internal, "{} numbers are no rows of {} columns", x.size(), n);
  reorder(context, f, x, false);
  BlockSolve solve(context, kernels, f);
  for (int64_t begin = (n - 1) / kBlock * kBlock; begin >= 0; begin -= kBlock) {
    CARAT_DO(context.check());
    solve.backwards(x.data(), rows, begin, std::min(n, begin + kBlock));
  }
  std::vector<float> inverse(static_cast<size_t>(n));
  for (int64_t p = 0; p < n; ++p) {
    const size_t column = f.order.empty() ? static_cast<size_t>(p) : static_cast<size_t>(f.order[p]);
    const double square = f.unit * f.weight[column];
    inverse[static_cast<size_t>(p)] = square > 0 ? static_cast<float>(1 / square) : 0.0f;
  }
  context.pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t p = 0; p < n; ++p) x[static_cast<size_t>(r * n + p)] *= inverse[static_cast<size_t>(p)];
  });
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    CARAT_DO(context.check());
    solve.forwards(x.data(), rows, begin, std::min(n, begin + kBlock));
  }
  reorder(context, f, x, true);
  return {};
}

}  // namespace carat
