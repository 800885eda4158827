// SentencePiece's precompiled_charsmap: which characters stand for which before tokenizing (half-width for
// full-width, "fi" for the ligature, a space for every kind of white space).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace carat {

/// The blob: a little-endian u32 with the size of the trie in bytes, the trie, and the replacements, each
/// closed by a zero byte. The trie is a double array of darts-clone: of the u32 at a node, bits 10 to 30 give
/// the offset of its children (shifted by 8 more if bit 9 is set), bits 0 to 7 the byte that leads to it, and
/// bit 8 tells that child 0 exists, whose lower 31 bits are the place of the replacement.
class Charsmap {
 public:
  /// Maps nothing.
  Charsmap() = default;
  /// bad_data for a blob whose sizes or places lie; what follows then cannot fail.
  static Result<Charsmap> parse(std::string_view blob);

  struct Match {
    size_t length = 0;             ///< bytes of text; 0 if nothing is mapped there
    std::string_view replacement;  ///< lives as long as the map
  };
  /// The longest source that stands at text[at].
  Match longest_at(std::string_view text, size_t at) const;

 private:
  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace carat
