#include "containers/durable.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace carat {

namespace {

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Status check_free_space(const std::string& path, uint64_t bytes) {
  struct statvfs fs;
  const std::string directory = directory_of(path);
  if (::statvfs(directory.c_str(), &fs) != 0) {
    return error(Code::io, "{}: cannot write there: {}", directory, std::strerror(errno));
  }
  const uint64_t available = static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize;
  if (available < bytes) {
    return error(Code::io, "{}: {} bytes are needed, but its file system has {} free", path, bytes,
                 available);
  }
  return {};
}

Status write_at(int fd, uint64_t offset, Bytes bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return error(Code::io, "{}: cannot write: {}", path, std::strerror(errno));
    offset += static_cast<uint64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status write_synced_file(const std::string& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return error(Code::io, "{}: cannot create: {}", path, std::strerror(errno));
  Status status = write_at(fd, 0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, path);
  if (status.ok() && ::fsync(fd) != 0)
    status = error(Code::io, "{}: cannot sync: {}", path, std::strerror(errno));
  ::close(fd);
  return status;
}

Status sync_directory_of(const std::string& path) {
  const std::string directory = directory_of(path);
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return error(Code::io, "{}: cannot open: {}", directory, std::strerror(errno));
  const int rc = ::fsync(fd);
  const int why = errno;
  ::close(fd);
  // Some network file systems cannot sync a directory; their renames are as durable as they get.
  if (rc != 0 && why != EINVAL) return error(Code::io, "{}: cannot sync: {}", directory, std::strerror(why));
  return {};
}

}  // namespace carat
