// Why mmap: tensors are read in any order, by several threads, often straight into a kernel, and the page
// cache is shared with every other reader. Rejected: O_DIRECT with our own cache, which would have to be
// tuned per disk. A file that another process truncates while it is mapped raises SIGBUS, as with every
// mapped file.
#include "containers/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace carat {

namespace {

/// An open descriptor of a regular file, and its size. Non-blocking, so that a named pipe does not hang us.
struct RegularFile {
  int fd = -1;
  uint64_t size = 0;
  ~RegularFile() {
    if (fd >= 0) ::close(fd);
  }
};

Status open_regular(const std::string& path, RegularFile& file) {
  file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.fd < 0) return error(Code::no_input, "{}: cannot open: {}", path, std::strerror(errno));
  struct stat st;
  if (::fstat(file.fd, &st) != 0)
    return error(Code::no_input, "{}: cannot read: {}", path, std::strerror(errno));
  if (!S_ISREG(st.st_mode)) {
    return error(Code::no_input, "{}: is {}, not a file", path,
                 S_ISDIR(st.st_mode) ? "a directory" : "a device or pipe");
  }
  file.size = static_cast<uint64_t>(st.st_size);
  return {};
}

uint64_t page_size() {
  static const uint64_t size = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string& path) {
  RegularFile file;
  CARAT_DO(open_regular(path, file));
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  mapped->path_ = path;
  if (file.size > 0) {
    void* data = ::mmap(nullptr, file.size, PROT_READ, MAP_PRIVATE, file.fd, 0);
    if (data == MAP_FAILED) return error(Code::no_input, "{}: cannot map: {}", path, std::strerror(errno));
    // Where the file system has large pages, what is not cached yet is then read in those: 4 times as fast,
    // and matrices are later read by up to a third faster than from pages of 4 KB. Elsewhere it changes
    // nothing.
    ::madvise(data, file.size, MADV_HUGEPAGE);
    mapped->data_ = static_cast<const uint8_t*>(data);
    mapped->size_ = file.size;
  }
  return std::shared_ptr<const MappedFile>(std::move(mapped));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
}

// Both ends are rounded down: consecutive ranges then release every page between them, which rounding inwards
// would not. A neighbour's pages at the front, if dropped too early, come back from the page cache.
void MappedFile::release(uint64_t offset, uint64_t size) const {
  const uint64_t end = std::min<uint64_t>(offset + size, size_);
  const uint64_t page = page_size();
  const uint64_t first = offset / page * page;
  const uint64_t last = end == size_ ? end : end / page * page;
  if (first < last) ::madvise(const_cast<uint8_t*>(data_) + first, last - first, MADV_DONTNEED);
}

// Advice only: a kernel before 5.14 does not know MADV_POPULATE_READ, and a page that cannot be read reports
// itself when it is touched.
void MappedFile::prepare(uint64_t offset, uint64_t size) const {
  const uint64_t end = std::min<uint64_t>(offset + size, size_);
  const uint64_t first = offset / page_size() * page_size();
  if (first >= end) return;
  void* const at = const_cast<uint8_t*>(data_) + first;
  ::madvise(at, end - first, MADV_WILLNEED);
  ::madvise(at, end - first, MADV_POPULATE_READ);
}

Result<std::string> read_small_file(const std::string& path, uint64_t limit) {
  RegularFile file;
  CARAT_DO(open_regular(path, file));
  if (file.size > limit) {
    return bad_data("{}: {} bytes, more than the {} such a file may have", path, file.size, limit);
  }
  std::string text(file.size, '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::read(file.fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error(Code::no_input, "{}: cannot read: {}", path, std::strerror(errno));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  text.resize(done);
  return text;
}

bool file_exists(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0;
}

bool same_file(const std::string& a, const std::string& b) {
  struct stat sa, sb;
  return ::stat(a.c_str(), &sa) == 0 && ::stat(b.c_str(), &sb) == 0 && sa.st_dev == sb.st_dev &&
         sa.st_ino == sb.st_ino;
}

bool is_one_of(const std::string& path, const std::vector<std::string>& files) {
  return std::ranges::any_of(files, [&](const std::string& file) { return same_file(path, file); });
}

}  // namespace carat
