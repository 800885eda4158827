#include "transforms/group_statistics.h"

#include <algorithm>
#include <cmath>

namespace carat {

Result<GroupStatistics> statistics_of(const FoldGroup& group, const CalibrationStatistics& statistics) {
  const std::string& reader = group.readers.front();
  const auto found = statistics.tensors.find(reader);
  if (found == statistics.tensors.end())
    return bad_data("{}: there are no statistics of what it reads; calibrate this model", reader);
  const InputStatistics& s = found->second;
  GroupStatistics out;
  out.mean_square = s.mean_squares(0);
  if (out.mean_square.size() != group.channel_of_column.size())
    return bad_data("{}: the statistics have seen {} of its {} columns", reader, out.mean_square.size(),
                    group.channel_of_column.size());
  out.magnitude.assign(static_cast<size_t>(group.channels), 0.0);
  std::vector<int> shown(out.magnitude.size(), 0);
  for (size_t k = 0; k < out.mean_square.size(); ++k) {
    const auto channel = static_cast<size_t>(group.channel_of_column[k]);
    if (!std::isfinite(out.mean_square[k]))
      return bad_data("{}: the statistics of column {} are not finite", reader, k);
    out.magnitude[channel] += out.mean_square[k];
    ++shown[channel];
  }
  for (size_t c = 0; c < shown.size(); ++c) out.magnitude[c] = std::sqrt(out.magnitude[c] / shown[c]);
  return out;
}

}  // namespace carat
