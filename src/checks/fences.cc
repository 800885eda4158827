#include "checks/fences.h"

#include <algorithm>

namespace carat {

std::vector<FencedBlock> fenced_blocks(std::string_view text) {
  constexpr std::string_view spaces = " \t\r";
  const auto trimmed = [&](std::string_view line) {
    line.remove_prefix(std::min(line.find_first_not_of(spaces), line.size()));
    return line.substr(0, line.find_last_not_of(spaces) + 1);
  };
  std::vector<FencedBlock> blocks;
  size_t fence = 0, begin = 0;
  std::string_view tag;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = trimmed(text.substr(at, end - at));
    const size_t ticks = std::min(line.find_first_not_of('`'), line.size());
    if (fence == 0 && ticks >= 3) {
      fence = ticks;
      tag = trimmed(line.substr(ticks));
      begin = std::min(end + 1, text.size());
    } else if (fence != 0 && ticks >= fence && ticks == line.size()) {
      blocks.push_back({tag, text.substr(begin, at - begin)});
      fence = 0;
    }
    at = end + 1;
  }
  if (fence != 0) blocks.push_back({tag, text.substr(begin)});
  return blocks;
}

}  // namespace carat
