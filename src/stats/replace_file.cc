#include "stats/replace_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "containers/durable.h"

namespace carat {

Status replace_file(const std::string& path, std::string_view bytes) {
  // The rename would put a regular file in the place of a device or a pipe.
  struct stat st;
  if (::stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode))
    return usage_error("{} exists and is not a regular file; choose another output", path);
  const std::string fresh = path + ".new";
  CARAT_DO(check_free_space(path, bytes.size()));
  Status status = write_synced_file(fresh, bytes);
  if (status.ok() && std::rename(fresh.c_str(), path.c_str()) != 0)
    status = error(Code::io, "{}: cannot be replaced: {}", path, std::strerror(errno));
  if (!status.ok()) {
    ::unlink(fresh.c_str());
    return status;
  }
  return sync_directory_of(path);
}

}  // namespace carat
