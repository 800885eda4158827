// The last part of a path: what is told of a file where its place means nothing.
#pragma once

#include <string>
#include <string_view>

namespace carat {

inline std::string file_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

}  // namespace carat
