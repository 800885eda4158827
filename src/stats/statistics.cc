#include "stats/statistics.h"

#include <algorithm>

namespace carat {

std::vector<float> InputStatistics::mean_squares(int64_t matrix) const {
  const double count = counts[matrix];
  if (!(count > 0)) return {};
  std::vector<float> means(columns);
  for (int64_t c = 0; c < columns; ++c)
    means[c] = static_cast<float>(sum_squares[matrix * columns + c] / count);
  return means;
}

Status fit_statistics(const Checkpoint& checkpoint, const std::string& source,
                      CalibrationStatistics& statistics) {
  CARAT_DO(check_origin(checkpoint, source, statistics));
  for (auto& [name, s] : statistics.tensors) {
    const Tensor* tensor = checkpoint.find(name);
    // A model with and the same without an output matrix of its own are one and the same to their files.
    if (!tensor && name == "output.weight") tensor = checkpoint.find("token_embd.weight");
    if (!tensor)
      return bad_data("{}: has statistics for {}, which {} does not have: they are of another model", source,
                      name, checkpoint.source);
    const int64_t matrices = tensor->shape.size() == 3 ? tensor->shape.front() : 1;
    const int64_t columns = tensor->columns();
    if (s.matrices == 1 && s.columns == matrices * columns && matrices > 1) {
      s.counts.assign(matrices, s.counts.front());
      s.matrices = matrices;
      s.columns = columns;
    }
    if (s.matrices != matrices || s.columns != columns)
      return bad_data(
          "{}: {} has {} x {} numbers, but in {} it reads {} x {} columns: they are of another model", source,
          name, s.matrices, s.columns, checkpoint.source, matrices, columns);
  }
  return {};
}

namespace {

template <class T>
void add_or_drop(const std::vector<T>& other, std::vector<T>& into, auto&& combine) {
  if (other.empty() || into.empty()) {
    into.clear();
    return;
  }
  for (size_t i = 0; i < into.size(); ++i) into[i] = combine(into[i], other[i]);
}

void add_entry(const InputStatistics& other, InputStatistics& into) {
  const auto plus = [](double a, double b) { return a + b; };
  // A matrix that has seen nothing has no range, whatever numbers stand there.
  for (int64_t m = 0; m < into.matrices; ++m) {
    const auto copy_range = [&](const InputStatistics& from, InputStatistics& to) {
      if (from.minimum.empty() || to.minimum.empty()) return;
      std::copy_n(from.minimum.begin() + m * from.columns, from.columns, to.minimum.begin() + m * to.columns);
      std::copy_n(from.maximum.begin() + m * from.columns, from.columns, to.maximum.begin() + m * to.columns);
    };
    if (into.counts[m] == 0) copy_range(other, into);
  }
  for (size_t i = 0; i < into.minimum.size() && !other.minimum.empty(); ++i) {
    if (other.counts[i / into.columns] == 0) continue;
    into.minimum[i] = std::min(into.minimum[i], other.minimum[i]);
    into.maximum[i] = std::max(into.maximum[i], other.maximum[i]);
  }
  if (other.minimum.empty()) into.minimum.clear(), into.maximum.clear();
  add_or_drop(other.sum, into.sum, plus);
  add_or_drop(other.sum_squares, into.sum_squares, plus);
  add_or_drop(other.counts, into.counts, plus);
}

}  // namespace

Status merge_statistics(const std::string& source, const CalibrationStatistics& other,
                        CalibrationStatistics& into) {
  CARAT_DO(check_merge(source, other, into));
  for (const auto& [name, s] : other.tensors) {
    const auto [at, added] = into.tensors.try_emplace(name, s);
    if (added) continue;
    if (at->second.columns != s.columns || at->second.matrices != s.matrices)
      return bad_data("{}: {} has {} x {} numbers where the others have {} x {}: it is of another model",
                      source, name, s.matrices, s.columns, at->second.matrices, at->second.columns);
    add_entry(s, at->second);
  }
  merge_origin(other, into);
  return {};
}

}  // namespace carat
