#include "stats/collector.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/digest.h"

namespace carat {
namespace {

constexpr int64_t kColumns = 64;  ///< of a job: whole cache lines, sums in the first-level cache

/// Columns [0, count) of x[tokens, stride]; count is known to the compiler where it is kColumns.
inline void add_columns(const float* x, int64_t tokens, int64_t stride, int64_t count, double* sum,
                        double* sum_squares, float* minimum, float* maximum) {
  for (int64_t t = 0; t < tokens; ++t, x += stride) {
    for (int64_t c = 0; c < count; ++c) {
      const double v = x[c];
      sum[c] += v;
      sum_squares[c] += v * v;
    }
    for (int64_t c = 0; c < count; ++c) {
      minimum[c] = x[c] < minimum[c] ? x[c] : minimum[c];
      maximum[c] = x[c] > maximum[c] ? x[c] : maximum[c];
    }
  }
}

template <class T>
void append_numbers(const std::vector<T>& values, std::string& out) {
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

}  // namespace

void StatisticsCollector::input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) {
  Sums& s = inputs_[{place.layer, place.input}];
  if (s.columns == 0) {
    const int64_t matrices = input_matrices(config_, place.input);
    s.columns = columns;
    s.counts.assign(matrices, 0);
    s.sum.assign(matrices * columns, 0);
    s.sum_squares.assign(matrices * columns, 0);
    s.minimum.assign(matrices * columns, std::numeric_limits<float>::infinity());
    s.maximum.assign(matrices * columns, -std::numeric_limits<float>::infinity());
  }
  s.counts[place.matrix] += static_cast<double>(tokens);
  pool_.parallel_for(ceil_div(columns, kColumns), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t c = block * kColumns, at = place.matrix * columns + c;
      double* const sum = s.sum.data() + at;
      double* const squares = s.sum_squares.data() + at;
      float* const minimum = s.minimum.data() + at;
      float* const maximum = s.maximum.data() + at;
      if (columns - c >= kColumns)
        add_columns(x + c, tokens, columns, kColumns, sum, squares, minimum, maximum);
      else
        add_columns(x + c, tokens, columns, columns - c, sum, squares, minimum, maximum);
    }
  });
}

Status StatisticsCollector::check(int64_t layer) const {
  for (const auto& [key, s] : inputs_) {
    if (key.first != layer) continue;
    for (size_t c = 0; c < s.sum_squares.size(); ++c) {
      if (std::isfinite(s.sum_squares[c])) continue;
      return bad_data(
          "{}: column {} of what it reads is {}; the weights before it are damaged, or too large for floats",
          reader_names(config_, key.second, layer).front(), static_cast<int64_t>(c) % s.columns,
          std::isnan(s.sum_squares[c]) ? "not a number" : "infinite");
    }
  }
  return {};
}

CalibrationStatistics StatisticsCollector::statistics() const {
  CalibrationStatistics out;
  for (const auto& [key, s] : inputs_) {
    const auto matrices = static_cast<int64_t>(s.counts.size());
    const InputStatistics entry{s.columns, matrices, s.counts, s.sum_squares, s.sum, s.minimum, s.maximum};
    for (const std::string& name : reader_names(config_, key.second, key.first))
      out.tensors.emplace(name, entry);
  }
  return out;
}

void StatisticsCollector::save(std::string& out) const {
  for (const auto& [key, s] : inputs_) {
    append_numbers<double>({static_cast<double>(key.first), static_cast<double>(key.second)}, out);
    append_numbers(s.counts, out);
    append_numbers(s.sum, out);
    append_numbers(s.sum_squares, out);
    append_numbers(s.minimum, out);
    append_numbers(s.maximum, out);
  }
}

Status StatisticsCollector::restore(Bytes bytes) {
  const auto take = [&](auto& values, size_t count) {
    const size_t size = count * sizeof(values[0]);
    if (bytes.size() < size) return false;
    values.resize(count);
    std::memcpy(values.data(), bytes.data(), size);
    bytes = bytes.subspan(size);
    return true;
  };
  std::map<Key, Sums> inputs;
  while (!bytes.empty()) {
    std::vector<double> head;
    if (!take(head, 2)) return bad_data("ends too early");
    const bool last = head[1] == static_cast<double>(LinearInput::output);
    if (!(head[0] >= 0 && head[0] < static_cast<double>(config_.layers) && head[1] >= 0 &&
          head[1] <= static_cast<double>(LinearInput::output) && (!last || head[0] == 0)))
      return bad_data("is of another model");
    const Key key{static_cast<int64_t>(head[0]), static_cast<LinearInput>(static_cast<int>(head[1]))};
    Sums s;
    s.columns = input_columns(config_, key.second, key.first);
    const auto matrices = static_cast<size_t>(input_matrices(config_, key.second));
    const size_t n = matrices * static_cast<size_t>(s.columns);
    if (!take(s.counts, matrices) || !take(s.sum, n) || !take(s.sum_squares, n) || !take(s.minimum, n) ||
        !take(s.maximum, n))
      return bad_data("ends too early");
    inputs[key] = std::move(s);
  }
  inputs_ = std::move(inputs);
  return {};
}

}  // namespace carat
