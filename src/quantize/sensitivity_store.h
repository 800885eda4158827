// Sensitivities in a file that grows as they are measured.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "recipes/sensitivities.h"

namespace carat {

class SensitivityStore {
 public:
  /// Opens the file, or makes it; a line that an interrupted run left unfinished is cut off. An empty path
  /// keeps everything in memory. Errors: as parse_sensitivities(); io.
  static Result<SensitivityStore> open(const std::string& path, const SensitivityOrigin& origin);

  const Sensitivities& tensors() const { return tensors_; }
  Status add(TensorSensitivity tensor);

 private:
  Status append(std::string_view text);

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  Sensitivities tensors_;
};

}  // namespace carat
