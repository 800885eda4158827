// A read-only memory mapping of a whole file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/error.h"

namespace carat {

class MappedFile {
 public:
  /// no_input if it cannot be opened or is not a regular file. An empty file maps to empty bytes.
  static Result<std::shared_ptr<const MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  Bytes bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  /// Drops the pages of this range from this process (bounded memory while streaming).
  void release(uint64_t offset, uint64_t size) const;
  /// Reads this range ahead and maps its pages in one go; later accesses then cost no page faults.
  void prepare(uint64_t offset, uint64_t size) const;

 private:
  MappedFile() = default;
  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

/// The whole of a small file; bad_data if it is larger than `limit`.
Result<std::string> read_small_file(const std::string& path, uint64_t limit);

/// Whether something of that name exists, symbolic links followed.
bool file_exists(const std::string& path);

/// Whether two paths name the same file (device and inode); false if either does not exist.
bool same_file(const std::string& a, const std::string& b);
/// The same for any of `files`.
bool is_one_of(const std::string& path, const std::vector<std::string>& files);

}  // namespace carat
