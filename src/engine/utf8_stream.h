// Tokens are pieces of bytes; a character may be spread over several. This hands on whole characters only.
#pragma once

#include <string>
#include <string_view>

namespace carat {

class Utf8Stream {
 public:
  /// Adds bytes and returns the complete characters so far. Bytes that can be part of no character become
  /// U+FFFD, one per maximal ill-formed piece (Unicode 15, section 3.9), so that the result is always valid
  /// UTF-8.
  std::string push(std::string_view bytes);
  /// What is left at the end of the stream: nothing, or one U+FFFD for an unfinished character.
  std::string finish();

 private:
  std::string pending_;  ///< the beginning of a character, at most 3 bytes
};

}  // namespace carat
