#include "evaluate/run_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/lock_wait.h"

namespace carat {

Result<RunLock> RunLock::take(const std::string& store_path, int64_t run) {
  const std::string path = store_path + ".lock";
  RunLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.fd_ < 0) return error(Code::io, "{} cannot be opened: {}", path, std::strerror(errno));
  struct flock range = {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = run;
  range.l_len = 1;
  int refused = 0;
  const bool answered = wait_for_lock([&] {
    refused = fcntl(lock.fd_, F_OFD_SETLK, &range) == 0 ? 0 : errno;
    return refused != EAGAIN && refused != EACCES;
  });
  if (refused == 0) return lock;
  if (!answered)
    return usage_error(
        "another process is working on run {} of {}; wait for it, or give this run another "
        "--name",
        run, store_path);
  return error(Code::io, "{} cannot be locked: {}", path, std::strerror(refused));
}

RunLock::RunLock(RunLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

RunLock::~RunLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace carat
