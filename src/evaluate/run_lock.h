// One process at a time works on a run: a lock on byte N of STORE.lock for run N, which the system lets go of
// however the process ends.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace carat {

class RunLock {
 public:
  /// Code::usage where another process has it and keeps it for kLockPatience (base/lock_wait.h).
  static Result<RunLock> take(const std::string& store_path, int64_t run);
  RunLock(RunLock&& other) noexcept;
  RunLock& operator=(RunLock&&) = delete;
  ~RunLock();

 private:
  explicit RunLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace carat
