#include "suites/line_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "text/utf8.h"

namespace carat {

namespace {
constexpr size_t kChunk = 256 << 10;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
}  // namespace

Result<std::unique_ptr<LineReader>> LineReader::open(const std::string& path) {
  // Not blocking, so that a pipe in the place of a file is refused and not waited for.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return error(Code::no_input, "{}: {}", path, std::strerror(errno));
  struct stat s {};
  if (::fstat(fd, &s) != 0 || !S_ISREG(s.st_mode)) {
    ::close(fd);
    return error(Code::no_input, "{}: not a regular file", path);
  }
  std::unique_ptr<LineReader> reader(new LineReader);
  reader->path_ = path;
  reader->file_.reset(::fdopen(fd, "rb"));
  if (!reader->file_) {
    ::close(fd);
    return error(Code::no_input, "{}: {}", path, std::strerror(errno));
  }
  reader->opened_ = {.device = static_cast<uint64_t>(s.st_dev),
                     .inode = static_cast<uint64_t>(s.st_ino),
                     .bytes = static_cast<uint64_t>(s.st_size),
                     .modified_seconds = s.st_mtim.tv_sec,
                     .modified_nanoseconds = s.st_mtim.tv_nsec};
  return reader;
}

FileState LineReader::state() const {
  FileState state = opened_;
  state.sum = sum_.value();
  return state;
}

/// Reads one more chunk behind what of the buffer is still needed; false at the end of the file.
Result<bool> LineReader::fill() {
  buffer_.erase(0, at_);
  at_ = 0;
  const size_t had = buffer_.size();
  buffer_.resize(had + kChunk);
  const size_t got = std::fread(buffer_.data() + had, 1, kChunk, file_.get());
  buffer_.resize(had + got);
  if (got < kChunk && std::ferror(file_.get())) return error(Code::no_input, "{}: reading failed", path_);
  sum_.update(Bytes{reinterpret_cast<const uint8_t*>(buffer_.data()) + had, got});
  return got > 0;
}

Result<bool> LineReader::next(std::string_view& line) {
  size_t searched = at_;
  for (;;) {
    const size_t end = buffer_.find('\n', searched);
    const bool found = end != std::string::npos;
    const size_t length = (found ? end : buffer_.size()) - at_;
    if (length > kLongestLine)
      return bad_data("{}:{}: a line longer than {} MB", path_, number_ + 1, kLongestLine >> 20);
    if (found || (ended_ && length > 0)) {
      line = std::string_view(buffer_).substr(at_, length);
      at_ += length + (found ? 1 : 0);
      break;
    }
    if (ended_) return false;
    searched = length;
    CARAT_TRY(const bool more, fill());
    ended_ = !more;
  }
  ++number_;
  if (number_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  if (line.ends_with('\r')) line.remove_suffix(1);
  const size_t valid = valid_utf8_prefix(line, 0);
  if (valid < line.size())
    return bad_data("{}:{}: not UTF-8 at byte {} of the line", path_, number_, valid + 1);
  return true;
}

}  // namespace carat
