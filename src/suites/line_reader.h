// Lines of a text file in bounded memory, with what is needed to notice that the file was changed between two
// readings: its size and times at the start, a sum of all its bytes at the end.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"

namespace carat {

/// What a file was when it was read to its end.
struct FileState {
  uint64_t device = 0, inode = 0, bytes = 0;
  int64_t modified_seconds = 0, modified_nanoseconds = 0;
  uint64_t sum = 0;  ///< XXH3 of its bytes

  bool same_stamp(const FileState& other) const {
    return device == other.device && inode == other.inode && bytes == other.bytes &&
           modified_seconds == other.modified_seconds && modified_nanoseconds == other.modified_nanoseconds;
  }
};

class LineReader {
 public:
  /// no_input where the file is missing, unreadable or not a regular file.
  static Result<std::unique_ptr<LineReader>> open(const std::string& path);

  /// The next line without its end, false after the last. bad_data naming the line: longer than kLongestLine,
  /// or not UTF-8. The view lives until the next call. A byte order mark at the beginning is left out.
  Result<bool> next(std::string_view& line);
  int64_t number() const { return number_; }  ///< of the last line, from 1
  const std::string& path() const { return path_; }
  /// As it was opened; `sum` is that of the bytes read so far.
  FileState state() const;

  static constexpr size_t kLongestLine = 16 << 20;

 private:
  LineReader() = default;
  Result<bool> fill();

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  FileState opened_;
  Xxh3 sum_;
  std::string buffer_;
  size_t at_ = 0;  ///< where the next line begins in the buffer
  bool ended_ = false;
  int64_t number_ = 0;
};

}  // namespace carat
