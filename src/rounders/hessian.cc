#include "rounders/hessian.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>

#include "base/checked.h"
#include "kernels/kernel_table.h"
#include "kernels/search_table.h"

namespace carat {
namespace {

constexpr int64_t kTile = kFactorTile;
/// Columns come in multiples of this, which all block encodings have in common.
constexpr int64_t kColumnUnit = 32;
/// Where damping was none and some is needed.
constexpr double kFirstDamp = 0.01;

/// What is known of a Hessian before it is factored. By column.
struct Diagonal {
  std::vector<double> value;  ///< 0 where the column is dead
  double mean = 0;            ///< over all columns
  int64_t dead = 0;
};

Result<Diagonal> read_diagonal(const Context& context, std::span<const float> hessian, int64_t columns) {
  std::vector<uint8_t> damaged(static_cast<size_t>(columns));
  context.pool.parallel_for(columns, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = hessian.data() + r * columns;
      // x - x is 0, or NaN where x is not finite.
      float sum = 0;
      for (int64_t c = r; c < columns; ++c) sum += row[c] - row[c];
      damaged[static_cast<size_t>(r)] = sum != 0;
    }
  });
  if (const auto first = std::ranges::find(damaged, 1); first != damaged.end())
    return bad_data(
        "the Hessian is not finite in row {}: activations overflowed, or the statistics are damaged",
        first - damaged.begin());
  Diagonal d;
  d.value.resize(static_cast<size_t>(columns));
  for (int64_t c = 0; c < columns; ++c) {
    const double x = hessian[static_cast<size_t>(c * columns + c)];
    if (x < 0)
      return bad_data(
          "the Hessian's diagonal is {} at column {}: a sum of squares cannot be, the statistics are damaged",
          x, c);
    d.value[static_cast<size_t>(c)] = x;
    d.mean += x;
    d.dead += x == 0;
  }
  if (d.mean == 0)
    return bad_data(
        "the Hessian is zero: no calibration token reached this matrix; use more text, or a method without "
        "data");
  d.mean /= static_cast<double>(columns);
  return d;
}

/// The Hessian as it is factored: shrunk, damped, its columns in the reverse of the order in which they are
/// rounded, which turns A A^T with A upper triangular into L L^T. Padded with ones to whole tiles.
class Reversed {
 public:
  Reversed(std::span<const float> hessian, const Diagonal& diagonal, const FeedbackOptions& options,
           std::span<const int32_t> order)
      : hessian_(hessian),
        diagonal_(diagonal),
        columns_(static_cast<int64_t>(diagonal.value.size())),
        related_((1 - options.shrink) / diagonal.mean),
        own_(1 / diagonal.mean) {
    column_.resize(static_cast<size_t>(columns_));
    for (int64_t i = 0; i < columns_; ++i) {
      const int64_t position = columns_ - 1 - i;
      column_[static_cast<size_t>(i)] =
          order.empty() ? static_cast<int32_t>(position) : order[static_cast<size_t>(position)];
    }
  }

  /// Tile (i, k), i >= k, in units of the diagonal's mean.
  void tile(int64_t i, int64_t k, double damp, double* out) const {
    for (int64_t c = 0; c < kTile; ++c)
      for (int64_t r = 0; r < kTile; ++r) out[c * kTile + r] = at(i * kTile + r, k * kTile + c, damp);
  }

 private:
  double at(int64_t r, int64_t c, double damp) const {
    if (r >= columns_ || c >= columns_) return r == c ? 1 : 0;
    const auto a = static_cast<int64_t>(column_[static_cast<size_t>(r)]),
               b = static_cast<int64_t>(column_[static_cast<size_t>(c)]);
    const double own = diagonal_.value[static_cast<size_t>(a)];
    if (a == b) return (own > 0 ? own * own_ : 1) + damp;
    if (own == 0 || diagonal_.value[static_cast<size_t>(b)] == 0) return 0;
    return related_ * hessian_[static_cast<size_t>(std::min(a, b) * columns_ + std::max(a, b))];
  }

  std::span<const float> hessian_;
  const Diagonal& diagonal_;
  int64_t columns_;
  double related_, own_;  ///< what entries off and on the diagonal are multiplied by
  std::vector<int32_t> column_;
};

/// The tiles of a lower triangle, row by row of tiles.
class Triangle {
 public:
  explicit Triangle(int64_t columns)
      : tiles(ceil_div(columns, kTile)),
        data_(std::make_unique_for_overwrite<double[]>(
            static_cast<size_t>(tiles * (tiles + 1) / 2 * kTile * kTile))) {}
  double* tile(int64_t i, int64_t k) const { return data_.get() + (i * (i + 1) / 2 + k) * kTile * kTile; }
  double at(int64_t r, int64_t c) const { return tile(r / kTile, c / kTile)[c % kTile * kTile + r % kTile]; }

  const int64_t tiles;

 private:
  std::unique_ptr<double[]> data_;
};

/// M = L L^T, left-looking: each column of tiles takes up all those before it. False where M is not positive
/// definite.
Result<bool> factor(const Context& context, const FactorSteps& steps, const Reversed& m, double damp,
                    Triangle& l) {
  for (int64_t k = 0; k < l.tiles; ++k) {
    CARAT_DO(context.check());
    context.pool.parallel_for(l.tiles - k, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = k + begin; i < k + end; ++i) {
        m.tile(i, k, damp, l.tile(i, k));
        steps.update(l.tile(i, 0), l.tile(k, 0), k, l.tile(i, k));
      }
    });
    if (!steps.diagonal(l.tile(k, k))) return false;
    context.pool.parallel_for(l.tiles - k - 1, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = k + 1 + begin; i < k + 1 + end; ++i) steps.solve(l.tile(k, k), l.tile(i, k));
    });
  }
  return true;
}

void fill(const Context& context, const Triangle& l, const Diagonal& diagonal, FeedbackFactor& f) {
  const int64_t columns = f.columns, slices = columns / kFeedbackSlice;
  const auto begin_of = [](int64_t slice) {
    return kFeedbackSlice * kFeedbackSlice * slice * (slice + 1) / 2;
  };
  f.slices.resize(static_cast<size_t>(begin_of(slices)));
  context.pool.parallel_for(slices, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t s = begin; s < end; ++s) {
      float* out = f.slices.data() + begin_of(s);
      for (int64_t j = 0; j < (s + 1) * kFeedbackSlice; ++j)
        for (int64_t k = s * kFeedbackSlice; k < (s + 1) * kFeedbackSlice; ++k) {
          const int64_t row = columns - 1 - j, column = columns - 1 - k;
          *out++ = row > column ? static_cast<float>(l.at(row, column) / l.at(column, column)) : 0.0f;
        }
    }
  });
  std::vector<double> weight(static_cast<size_t>(columns));
  for (int64_t k = 0; k < columns; ++k) {
    const auto column =
        f.order.empty() ? static_cast<size_t>(k) : static_cast<size_t>(f.order[static_cast<size_t>(k)]);
    const double root = l.at(columns - 1 - k, columns - 1 - k);
    if (diagonal.value[column] > 0) weight[column] = root * root;
  }
  const double largest = std::ranges::max(weight);
  for (const double w : weight) f.weight.push_back(static_cast<float>(w / largest));
  f.unit = largest * diagonal.mean;
}

/// The column at each position; empty for their own order.
std::vector<int32_t> order_of(const Diagonal& diagonal, const FeedbackOptions& options) {
  if (options.order == ColumnOrder::natural) return {};
  std::vector<int32_t> order(diagonal.value.size());
  std::iota(order.begin(), order.end(), 0);
  const auto greatest = [&](int32_t column, int64_t group) {
    const auto begin = diagonal.value.begin() + column / group * group;
    return *std::max_element(begin, begin + group);
  };
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) {
    if (options.order == ColumnOrder::grouped)
      for (const int64_t group : {options.block, options.leaf}) {
        if (a / group == b / group) continue;
        const double x = greatest(a, group), y = greatest(b, group);
        return x != y ? x > y : a < b;
      }
    return diagonal.value[static_cast<size_t>(a)] > diagonal.value[static_cast<size_t>(b)];
  });
  return order;
}

}  // namespace

std::string_view column_order_name(ColumnOrder order) {
  constexpr std::string_view names[] = {"natural", "descending", "grouped"};
  return names[static_cast<size_t>(order)];
}

Result<FeedbackFactor> prepare_feedback(const Context& context, const KernelTable& kernels,
                                        std::span<const float> hessian, int64_t columns,
                                        const FeedbackOptions& options) {
  if (columns <= 0 || columns % kColumnUnit != 0)
    return usage_error("error feedback needs columns in multiples of {}, not {}", kColumnUnit, columns);
  if (static_cast<int64_t>(hessian.size()) / columns != columns)
    return error(Code::internal, "a Hessian of {} numbers for {} columns", hessian.size(), columns);
  if (!(options.shrink >= 0 && options.shrink <= 1) || !(options.damp >= 0) ||
      !(options.damp_limit >= options.damp))
    return usage_error("a Hessian is shrunk by 0 to 1 and damped by 0 to its limit, not by {} and {}",
                       options.shrink, options.damp);
  if (options.order == ColumnOrder::grouped &&
      (options.block <= 0 || options.leaf <= 0 || columns % options.block != 0 ||
       options.block % options.leaf != 0))
    return error(Code::internal, "{} columns in blocks of {} and leaves of {}", columns, options.block,
                 options.leaf);
  CARAT_TRY(const Diagonal diagonal, read_diagonal(context, hessian, columns));
  FeedbackFactor f;
  f.columns = columns;
  f.dead_columns = diagonal.dead;
  f.order = order_of(diagonal, options);
  if (options.order == ColumnOrder::grouped) f.block = options.block, f.leaf = options.leaf;
  const Reversed m(hessian, diagonal, options, f.order);
  const FactorSteps& steps = search_table(kernels.isa).factor;
  Triangle l(columns);
  for (f.damping = options.damp;;) {
    CARAT_TRY(const bool factored, factor(context, steps, m, f.damping, l));
    if (factored) break;
    if (f.damping >= options.damp_limit)
      return bad_data(
          "the Hessian does not factor, not even with {} times its mean diagonal added to the diagonal: the "
          "statistics are damaged",
          f.damping);
    f.damping = std::min(options.damp_limit, std::max(2 * f.damping, kFirstDamp));
  }
  fill(context, l, diagonal, f);
  return f;
}

double factored_loss(const Context& context, const FeedbackFactor& f, std::span<const float> differences) {
  const auto n = static_cast<size_t>(f.columns);
  const auto rows = static_cast<int64_t>(differences.size() / n);
  std::vector<double> sums(static_cast<size_t>(rows));
  context.pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
    std::vector<float> error(n);
    for (int64_t r = begin; r < end; ++r) {
      const float* d = differences.data() + static_cast<size_t>(r) * n;
      for (size_t p = 0; p < n; ++p) error[p] = d[f.order.empty() ? p : static_cast<size_t>(f.order[p])];
      const float* factor = f.slices.data();
      double& sum = sums[static_cast<size_t>(r)];
      for (size_t first = 0; first < n; first += kFeedbackSlice) {
        float lost[kFeedbackSlice];
        for (size_t k = 0; k < kFeedbackSlice; ++k) lost[k] = error[first + k];
        for (size_t j = 0; j < first + kFeedbackSlice; ++j, factor += kFeedbackSlice)
          for (size_t k = 0; k < kFeedbackSlice; ++k) lost[k] += error[j] * factor[k];
        for (size_t k = 0; k < kFeedbackSlice; ++k) {
          const size_t column = f.order.empty() ? first + k : static_cast<size_t>(f.order[first + k]);
          sum += double{f.weight[column]} * lost[k] * lost[k];
        }
      }
    }
  });
  return f.unit * std::accumulate(sums.begin(), sums.end(), 0.0);
}

Result<double> feedback_loss(const Context& context, const KernelTable& kernels,
                             std::span<const float> hessian, int64_t columns, std::span<const float> weights,
                             std::span<const float> rounded) {
  const auto n = static_cast<size_t>(columns);
  if (columns <= 0 || hessian.size() != n * n || weights.size() % n != 0 || rounded.size() != weights.size())
    return error(Code::internal, "a loss of {} and {} weights under a Hessian of {} numbers for {} columns",
                 weights.size(), rounded.size(), hessian.size(), columns);
  constexpr int64_t kRows = 256;
  const int64_t rows = static_cast<int64_t>(weights.size()) / columns;
  const WeightView h{.encoding = &encoding_f32(),
                     .data = reinterpret_cast<const uint8_t*>(hessian.data()),
                     .rows = columns,
                     .columns = columns,
                     .row_bytes = n * sizeof(float)};
  std::vector<float> difference(static_cast<size_t>(std::min(rows, kRows)) * n), product(difference.size());
  double sum = 0;
  for (int64_t first = 0; first < rows; first += kRows) {
    CARAT_DO(context.check());
    const int64_t count = std::min(kRows, rows - first);
    const size_t from = static_cast<size_t>(first) * n, size = static_cast<size_t>(count) * n;
    for (size_t i = 0; i < size; ++i) difference[i] = weights[from + i] - rounded[from + i];
    const MatmulTarget target{h, product.data(), columns};
    matmul(kernels, context.pool, ActivationScheme::float32, {&target, 1}, difference.data(), columns, count);
    for (size_t i = 0; i < size; ++i) sum += static_cast<double>(difference[i]) * product[i];
  }
  return sum;
}

}  // namespace carat
