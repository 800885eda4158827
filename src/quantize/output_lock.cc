#include "quantize/output_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/lock_wait.h"

namespace carat {

Result<OutputLock> OutputLock::take(const std::string& out_path) {
  const std::string path = out_path + ".lock";
  const auto failed = [&] {
    return error(Code::io, "{} cannot be made or locked: {}", path, std::strerror(errno));
  };
  // Its holder removes the file before the lock ends: whoever gets that lock has one that nobody else sees,
  // and begins again.
  for (;;) {
    OutputLock lock(path, -1);
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (fd < 0) return failed();
    struct stat mine, named;
    if (::fstat(fd, &mine) != 0 || !S_ISREG(mine.st_mode) || mine.st_size != 0) {
      ::close(fd);
      return usage_error(
          "{} is there already, and this run would make a lock of that name and remove it; move it, or "
          "choose "
          "another output",
          path);
    }
    int refused = 0;
    wait_for_lock([&] {
      refused = ::flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
      return refused != EWOULDBLOCK;
    });
    if (refused != 0) {
      ::close(fd);
      if (refused == EWOULDBLOCK)
        return usage_error("another process is making {}; wait for it, or choose another output", out_path);
      errno = refused;
      return failed();
    }
    lock.fd_ = fd;
    if (::stat(path.c_str(), &named) == 0 && named.st_ino == mine.st_ino && named.st_dev == mine.st_dev)
      return lock;
    ::close(std::exchange(lock.fd_, -1));
  }
}

OutputLock::OutputLock(OutputLock&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

OutputLock::~OutputLock() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());
  ::close(fd_);
}

}  // namespace carat
