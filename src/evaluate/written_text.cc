#include "evaluate/written_text.h"

#include <algorithm>
#include <vector>

namespace carat {
namespace {

constexpr std::string_view white = " \t\r\n";
constexpr std::string_view think_begin = "<think>", think_end = "</think>";

std::string_view trimmed_front(std::string_view text) {
  const size_t first = text.find_first_not_of(white);
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

}  // namespace

Written divide_reasoning(std::string_view text) {
  std::string_view rest = trimmed_front(text);
  const bool begun = rest.starts_with(think_begin);
  if (begun) rest.remove_prefix(think_begin.size());
  const size_t end = rest.find(think_end);
  if (end == std::string_view::npos) return begun ? Written{rest, {}} : Written{{}, text};
  return {rest.substr(0, end), trimmed_front(rest.substr(end + think_end.size()))};
}

bool ends_in_a_loop(std::string_view text) {
  constexpr size_t window = 4096, longest_unit = 400, least_bytes = 200, least_times = 4;
  if (text.size() > window) text.remove_prefix(text.size() - window);
  const size_t n = text.size();
  for (size_t unit = 1; unit <= std::min(longest_unit, n / least_times); ++unit) {
    // How far back each byte equals the one a unit later.
    size_t same = 0;
    while (same + unit < n && text[n - 1 - same] == text[n - 1 - same - unit]) ++same;
    const size_t covered = same + unit;
    if (covered >= least_times * unit && covered >= least_bytes) return true;
  }
  return false;
}

}  // namespace carat
