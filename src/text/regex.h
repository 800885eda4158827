// PCRE2 behind values: compile once, search many times, errors as sentences. Subjects must be valid UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace carat {

class Regex {
 public:
  enum class Dialect {
    unicode,    ///< \d, \w and \b know all of Unicode
    ecmascript  ///< those three know ASCII only, $ is the very end, \u1234 is a character (ECMA-262)
  };
  /// In both dialects \s and \S mean Unicode's White_Space, as in the Oniguruma that Hugging Face's
  /// tokenizers use.
  static Result<Regex> compile(std::string_view pattern, Dialect dialect = Dialect::unicode);

  /// How many groups capture.
  size_t groups() const;

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

    /// For patterns of others: what a search may cost before it is an error, in PCRE2's steps.
    void limit_steps(uint32_t steps);
    /// The leftmost match at or after `from`, which may be empty: the whole, then every group; a group that
    /// took no part is {npos, npos}.
    Result<std::optional<std::vector<Span>>> find(std::string_view subject, size_t from);

   private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
  };

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

}  // namespace carat
