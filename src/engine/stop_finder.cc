#include "engine/stop_finder.h"

#include <algorithm>
#include <utility>

namespace carat {

StopFinder::StopFinder(const std::vector<std::string>& stops) {
  for (const std::string& text : stops) {
    Pattern pattern{text, std::vector<size_t>(text.size() + 1), 0};
    for (size_t i = 1; i < text.size(); ++i) {
      size_t border = pattern.shorter[i];
      while (border > 0 && text[i] != text[border]) border = pattern.shorter[border];
      pattern.shorter[i + 1] = text[i] == text[border] ? border + 1 : 0;
    }
    patterns_.push_back(std::move(pattern));
  }
}

void StopFinder::Pattern::push(char byte) {
  while (matched > 0 && text[matched] != byte) matched = shorter[matched];
  if (text[matched] == byte) ++matched;
}

std::string StopFinder::push(std::string_view piece) {
  if (found_) return {};
  for (const char byte : piece) {
    held_.push_back(byte);
    size_t complete = 0;
    for (Pattern& p : patterns_) {
      p.push(byte);
      if (p.matched == p.text.size()) complete = std::max(complete, p.text.size());
    }
    if (complete > 0) {
      found_ = true;
      held_.resize(held_.size() - complete);
      return std::exchange(held_, {});
    }
  }
  size_t keep = 0;
  for (const Pattern& p : patterns_) keep = std::max(keep, p.matched);
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopFinder::finish() { return std::exchange(held_, {}); }

}  // namespace carat
