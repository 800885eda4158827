// A compiled PCRE2 pattern searched for in tensor names.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace carat {

class NamePattern {
 public:
  /// usage error with PCRE2's reason and the offset.
  static Result<NamePattern> compile(std::string_view pattern);
  /// Whether it occurs anywhere in `name`. A pattern that backtracks beyond PCRE2's limits is a usage error.
  Result<bool> found_in(std::string_view name) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> code_;
};

}  // namespace carat
