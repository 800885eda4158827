#include "base/control_groups.h"

#include <algorithm>
#include <fstream>
#include <string_view>
#include <vector>

namespace carat {
namespace {

/// A group's folder under one of the two interfaces.
struct Group {
  std::string folder;
  bool version_2;
};

bool has_controller(std::string_view list, std::string_view wanted) {
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    if (list.substr(at, comma - at) == wanted) return true;
    at = comma + 1;
  }
  return false;
}

/// The groups whose `controller` binds the process, its own first. Some may not exist here: inside a
/// container paths can be those of the machine outside, of which only the root is to be seen.
std::vector<Group> groups_of(const ControlGroupFiles& files, std::string_view controller) {
  std::vector<Group> out;
  std::ifstream self(files.self);
  for (std::string line; std::getline(self, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool version_2 = controllers.empty();
    if (!version_2 && !has_controller(controllers, controller)) continue;
    const std::string base = version_2 ? files.root : files.root + "/" + std::string(controller);
    for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
      while (path.ends_with('/')) path.pop_back();
      out.push_back({base + path, version_2});
      if (path.find('/') == std::string::npos) break;
    }
  }
  return out;
}

/// The number a file begins with; nothing for "max".
template <class T>
std::optional<T> number_in(const std::string& path) {
  std::ifstream file(path);
  T value{};
  if (!(file >> value)) return std::nullopt;
  return value;
}

uint64_t cached_files(const Group& group) {
  const std::string_view total = group.version_2 ? "" : "total_";  // of the groups below too
  std::ifstream stat(group.folder + "/memory.stat");
  uint64_t sum = 0, value = 0;
  for (std::string key; stat >> key >> value;)
    if (key.starts_with(total) &&
        (key.substr(total.size()) == "inactive_file" || key.substr(total.size()) == "active_file"))
      sum += value;
  return sum;
}

}  // namespace

std::optional<double> group_processors(const ControlGroupFiles& files) {
  std::optional<double> least;
  for (const Group& group : groups_of(files, "cpu")) {
    double quota = 0, period = 0;
    if (group.version_2) {
      std::ifstream(group.folder + "/cpu.max") >> quota >> period;
    } else {
      quota = number_in<double>(group.folder + "/cpu.cfs_quota_us").value_or(0);  // -1: none
      period = number_in<double>(group.folder + "/cpu.cfs_period_us").value_or(0);
    }
    if (quota > 0 && period > 0) least = std::min(least.value_or(quota / period), quota / period);
  }
  return least;
}

std::optional<uint64_t> group_memory(const ControlGroupFiles& files) {
  std::optional<uint64_t> least;
  for (const Group& group : groups_of(files, "memory")) {
    const auto limit =
        number_in<uint64_t>(group.folder + (group.version_2 ? "/memory.max" : "/memory.limit_in_bytes"));
    const auto used =
        number_in<uint64_t>(group.folder + (group.version_2 ? "/memory.current" : "/memory.usage_in_bytes"));
    if (!limit || !used) continue;
    const uint64_t held = *used - std::min(*used, cached_files(group));
    const uint64_t left = *limit - std::min(*limit, held);
    least = std::min(least.value_or(left), left);
  }
  return least;
}

}  // namespace carat
