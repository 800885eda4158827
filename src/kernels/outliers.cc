#include "kernels/outliers.h"

#include <algorithm>
#include <cmath>

#include "kernels/scratch.h"

namespace carat {
namespace {

constexpr int kScratch = 2;  // kernels.cc has the others

/// False for NaN, which the rounding of the rest turns into a NaN of every output.
bool is_outlier(float x, float threshold) { return std::fabs(x) >= threshold; }

/// Columns that an encoding decodes at a time.
int64_t decoded_together(const Encoding& e) { return e.is_grouped() ? 32 : std::max(32, e.block); }

}  // namespace

float outlier_threshold(const float* x, int64_t columns) {
  double squares = 0;
  int64_t count = 0;
  for (int64_t c = 0; c < columns; ++c)
    if (!is_outlier(x[c], kOutlier)) {
      squares += double{x[c]} * double{x[c]};
      ++count;
    }
  if (!(squares > 0)) return kOutlier;  // zeros only, or a NaN
  const double deviation = std::sqrt(squares / static_cast<double>(count));
  return std::min(kOutlier, static_cast<float>(double{kOutlier} * deviation));
}

const OutlierSplit& split_outliers(ThreadPool& pool, const float* x, int64_t x_stride, int64_t tokens,
                                   int64_t columns) {
  thread_local OutlierSplit split;
  float* const rest = scratch<float, kScratch>(tokens * columns);
  split.rest = {tokens, rest, columns};
  split.begin.assign(static_cast<size_t>(tokens + 1), 0);
  OutlierSplit& s = split;  // the pool's threads have a thread_local of their own
  pool.parallel_for(tokens, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      int64_t count = 0;
      const float threshold = outlier_threshold(x + t * x_stride, columns);
      for (int64_t c = 0; c < columns; ++c) {
        const float v = x[t * x_stride + c];
        const bool out = is_outlier(v, threshold);
        count += out;
        rest[t * columns + c] = out ? 0.0f : v;
      }
      s.begin[static_cast<size_t>(t + 1)] = count;
    }
  });
  split.place.clear();
  split.value.clear();
  split.columns.clear();
  for (int64_t t = 0; t < tokens; ++t) {
    if (split.begin[static_cast<size_t>(t + 1)] > 0)
      for (int64_t c = 0; c < columns; ++c)
        if (rest[t * columns + c] == 0 && x[t * x_stride + c] != 0) {
          split.columns.push_back(c);
          split.value.push_back(x[t * x_stride + c]);
        }
    split.begin[static_cast<size_t>(t + 1)] = static_cast<int64_t>(split.value.size());
  }
  if (!split.any()) return split;
  const std::vector<int64_t> of_each = split.columns;
  std::ranges::sort(split.columns);
  const auto [last, end] = std::ranges::unique(split.columns);
  split.columns.erase(last, end);
  for (const int64_t c : of_each)
    split.place.push_back(
        static_cast<int32_t>(std::ranges::lower_bound(split.columns, c) - split.columns.begin()));
  return split;
}

void restore_outliers(const OutlierSplit& split, float* x, int64_t x_stride) {
  for (int64_t t = 0; t < split.rest.tokens; ++t)
    for (auto i = static_cast<size_t>(split.begin[static_cast<size_t>(t)]);
         i < static_cast<size_t>(split.begin[static_cast<size_t>(t + 1)]); ++i)
      x[t * x_stride + split.columns[static_cast<size_t>(split.place[i])]] = split.value[i];
}

void add_outlier_products(const OutlierSplit& split, const WeightRows& w, float* y, int64_t y_stride) {
  const Encoding& e = *w.encoding;
  const int64_t together = decoded_together(e);
  // Weights of the columns with outliers, [column][row].
  thread_local std::vector<float> weights, decoded;
  weights.assign(split.columns.size() * kPanelRows, 0.0f);
  decoded.resize(static_cast<size_t>(together));
  for (int r = 0; r < w.rows; ++r) {
    int64_t first = -1;
    for (size_t i = 0; i < split.columns.size(); ++i) {
      const int64_t column = split.columns[i];
      if (first < 0 || column >= first + together) {
        first = column / together * together;
        e.decode_part(e, w.data + r * w.row_bytes, w.columns, first, std::min(together, w.columns - first),
                      decoded.data());
      }
      weights[i * kPanelRows + static_cast<size_t>(r)] = decoded[static_cast<size_t>(column - first)];
    }
  }
  for (int64_t t = 0; t < split.rest.tokens; ++t) {
    const auto begin = static_cast<size_t>(split.begin[static_cast<size_t>(t)]);
    const auto end = static_cast<size_t>(split.begin[static_cast<size_t>(t + 1)]);
    if (begin == end) continue;
    float sums[kPanelRows] = {};
    for (size_t i = begin; i < end; ++i) {
      const float* column = &weights[static_cast<size_t>(split.place[i]) * kPanelRows];
      for (int r = 0; r < kPanelRows; ++r) sums[r] += column[r] * split.value[i];
    }
    for (int r = 0; r < w.rows; ++r) y[t * y_stride + r] += sums[r];
  }
}

}  // namespace carat
