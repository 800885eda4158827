// Finds the first of several strings in a text that comes piece by piece, and holds back what might become
// one. Knuth, Morris and Pratt's automaton per string: each byte costs constant time, whatever the strings.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace carat {

class StopFinder {
 public:
  /// None of `stops` is empty.
  explicit StopFinder(const std::vector<std::string>& stops);
  /// Adds a piece and returns the text that can be part of no stop string any more. Once a string is
  /// complete, found() is true and the text before it has been returned; further pieces give nothing.
  std::string push(std::string_view piece);
  /// What was held back, now that no more comes; nothing once a string was found.
  std::string finish();
  bool found() const { return found_; }

 private:
  struct Pattern {
    std::string text;
    std::vector<size_t> shorter;  ///< [i]: length of the longest border of the first i bytes
    size_t matched = 0;           ///< bytes of `text` that the end of the stream equals
    void push(char byte);
  };
  std::vector<Pattern> patterns_;
  std::string held_;
  bool found_ = false;
};

}  // namespace carat
