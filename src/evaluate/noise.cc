#include "evaluate/noise.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace carat {

std::vector<NoiseFloor> noise_floor(const std::vector<Scorecard>& runs) {
  using Key = std::tuple<std::string_view, std::string_view, std::string_view>;
  std::vector<std::map<Key, double>> others;
  for (size_t i = 1; i < runs.size(); ++i) {
    others.emplace_back();
    for (const SliceScore& s : runs[i].scores)
      if (s.value.items > 0) others.back()[{s.task, s.slice, s.metric}] = s.value.mean;
  }
  std::vector<NoiseFloor> out;
  if (runs.empty()) return out;
  for (const SliceScore& s : runs.front().scores) {
    if (s.value.items == 0) continue;
    NoiseFloor floor{s.task, s.slice, s.metric, s.value.mean, 0};
    bool everywhere = true;
    for (const auto& other : others) {
      const auto found = other.find({s.task, s.slice, s.metric});
      everywhere = everywhere && found != other.end();
      if (!everywhere) break;
      floor.mean += found->second;
      floor.largest_difference = std::max(floor.largest_difference, std::abs(found->second - s.value.mean));
    }
    floor.mean /= static_cast<double>(runs.size());
    if (everywhere) out.push_back(std::move(floor));
  }
  return out;
}

}  // namespace carat
