// What the control groups of Linux leave to this process. A group's limits bind all groups below it, so that
// those of the process's own group and of every group above it count; a container sees its own as the root.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace carat {

/// Where a system keeps them; tests have folders of their own.
struct ControlGroupFiles {
  std::string root = "/sys/fs/cgroup";     ///< where version 2, or the controllers of version 1, are mounted
  std::string self = "/proc/self/cgroup";  ///< lines ID:CONTROLLERS:PATH
};

/// Processors' worth of time by the tightest quota, or nothing where there is none.
std::optional<double> group_processors(const ControlGroupFiles& files = {});

/// Bytes that may still be allocated under the tightest memory limit, or nothing where there is none. Cached
/// files are counted as free: the system drops them when memory is wanted, and a model that ran a minute ago
/// is such a file.
std::optional<uint64_t> group_memory(const ControlGroupFiles& files = {});

}  // namespace carat
