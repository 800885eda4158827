// Runs code that nobody has looked at: a model wrote it. Linux only, without privileges: a process in name
// spaces of its own (user, mounts, processes, network, IPC, host name) that sees /usr read-only, four device
// files and an empty scratch directory in memory, has no network and no capabilities, may start threads but
// no processes, and is bounded in processor time, wall time, memory, files and output. Where the system does
// not grant that, nothing is run.
//
// Rejected: containers and bubblewrap (programs that may be missing or setuid), Python's own audit hooks (not
// a boundary), a plain child with limits (it could read the home directory).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/context.h"

namespace carat {

struct SandboxLimits {
  double seconds = 10;  ///< of wall time, and as many of processor time, rounded up
  int64_t memory_bytes = int64_t{1} << 30;
  int64_t scratch_bytes = 16 << 20;
  size_t output_bytes = 64 << 10;  ///< kept; what is printed beyond is read and dropped
};

struct SandboxRun {
  enum class End {
    unavailable,  ///< nothing was run; `reason` says why
    exited,       ///< by itself, with `status`
    killed,       ///< by the signal `status`
    out_of_time
  } end = End::unavailable;
  int status = 0;
  std::string reason;
  std::string output;  ///< what it printed on either stream
  std::string report;  ///< what it wrote to descriptor 3, at most 4 KB
};

/// Runs `python3 main` isolated from site packages, with the named files in the current directory, of which
/// `main` is one. Errors: Code::interrupted; Code::internal where pipes cannot be made.
Result<SandboxRun> run_python_in_sandbox(const Context& context,
                                         const std::vector<std::pair<std::string, std::string>>& files,
                                         const std::string& main, const SandboxLimits& limits);

}  // namespace carat
