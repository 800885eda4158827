// PCRE2 behind values: compile once, search many times, errors as sentences. Subjects must be valid UTF-8.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace carat {

class Regex {
 public:
  /// Unicode on; \s and \S mean Unicode's White_Space, as in the Oniguruma that Hugging Face's tokenizers
  /// use.
  static Result<Regex> compile(std::string_view pattern);

  struct Span {
    size_t begin, end;
  };

  /// What one search needs besides the pattern; not shared between threads.
  class Searcher {
   public:
    explicit Searcher(const Regex& regex);
    /// The leftmost non-empty match at or after `from`; nothing if there is none. A search that exhausts
    /// PCRE2's limits is an error.
    Result<std::optional<Span>> next(std::string_view subject, size_t from);

   private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
  };

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

}  // namespace carat
