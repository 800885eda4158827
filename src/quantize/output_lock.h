// One process at a time makes an output by way of several files: a lock on OUT.lock, which the system lets go
// of however the process ends. Those files have locks of their own while they are written (gguf.h), but not
// between one and the next.
#pragma once

#include <string>
#include <utility>

#include "base/error.h"

namespace carat {

class OutputLock {
 public:
  /// usage error where another process has it and keeps it for kLockPatience (base/lock_wait.h), or where a
  /// file of that name is no lock; io where it cannot be made. What a killed run left is taken over.
  static Result<OutputLock> take(const std::string& out_path);
  OutputLock(OutputLock&& other) noexcept;
  OutputLock& operator=(OutputLock&&) = delete;
  /// Removes the file.
  ~OutputLock();

 private:
  OutputLock(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_ = -1;
};

}  // namespace carat
