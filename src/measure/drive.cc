#include "measure/drive.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/stopwatch.h"

namespace carat {

double drive_read_rate(const std::string& path) {
  constexpr int64_t kSample = 32 << 20, kPiece = 1 << 20;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  struct stat info = {};
  double rate = 0;
  if (::fstat(fd, &info) == 0 && info.st_size > 0) {
    const int64_t size = std::min<int64_t>(kSample, info.st_size);
    const int64_t first = (info.st_size - size) / 2;
    // What is cached would say nothing of the drive.
    ::posix_fadvise(fd, first, size, POSIX_FADV_DONTNEED);
    std::vector<char> buffer(kPiece);
    int64_t done = 0;
    const Stopwatch watch;
    while (done < size) {
      const ssize_t n =
          ::pread(fd, buffer.data(), static_cast<size_t>(std::min(kPiece, size - done)), first + done);
      if (n <= 0) break;
      done += n;
    }
    const double s = watch.seconds();
    if (s > 0) rate = static_cast<double>(done) / s;
  }
  ::close(fd);
  return rate;
}

std::optional<std::string> memory_warning(const std::string& name, uint64_t model_bytes, uint64_t available,
                                          double rate) {
  if (available == 0 || model_bytes <= available) return std::nullopt;
  const auto gb = [](uint64_t bytes) { return static_cast<double>(bytes) * 1e-9; };
  std::string sentence = fmt::format(
      "{} takes {:.1f} GB and {:.1f} GB of memory are available: it runs from the file, which is read "
      "again for every token",
      name, gb(model_bytes), gb(available));
  if (rate > 0)
    sentence += fmt::format(" (this drive gives {:.1f} GB/s: about {:.2g} s per token)", rate * 1e-9,
                            static_cast<double>(model_bytes) / rate);
  return sentence + "; a smaller encoding would be faster";
}

}  // namespace carat
