// What happens between clone and exec, where only system calls are allowed: the program has other threads,
// whose locks the child has copied.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace carat::sandbox {

/// All that the child needs, made before the clone.
struct Plan {
  const char* interpreter = nullptr;
  std::vector<std::pair<std::string, std::string>> files;
  std::string main, uid_map, gid_map, scratch_options;
  uint64_t cpu_seconds = 0, memory_bytes = 0, scratch_bytes = 0;
  int output = -1, report = -1, status = -1;  ///< ends of pipes to write to
};

/// What the child writes to Plan::status.
struct Message {
  enum Kind : int32_t { set_up_failed, ended } kind;
  int32_t value;  ///< errno; or the status of waitpid
  int32_t step;   ///< index of the step that failed, see step_name
};
const char* step_name(int32_t step);

/// The name spaces of the child, for clone.
uint64_t clone_flags();
/// The child: process 1 of its name space. Sets everything up, starts the interpreter, waits for it.
[[noreturn]] void run_child(const Plan& plan);

}  // namespace carat::sandbox
