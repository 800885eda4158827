// Writing that is on the disk when it says so, and not begun when it cannot fit. Internal to containers/ and
// arch/, to cards/ and to stats/.
#pragma once

#include <string>
#include <string_view>

#include "base/checked.h"
#include "base/error.h"

namespace carat {

/// io error naming need and free bytes if the file system that will hold `path` has less than `bytes` free.
Status check_free_space(const std::string& path, uint64_t bytes);

/// All of `bytes` at this offset of an open file; `path` is for the message.
Status write_at(int fd, uint64_t offset, Bytes bytes, const std::string& path);

/// Creates or replaces a small file and syncs it.
Status write_synced_file(const std::string& path, std::string_view text);

/// Syncs the directory that holds `path`, so that a rename or a new file in it survives a power failure.
Status sync_directory_of(const std::string& path);

}  // namespace carat
