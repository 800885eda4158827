#include "checks/text_shape.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

#include "checks/plain_text.h"

namespace carat {

namespace {

constexpr std::string_view kOpen = "<think>", kClose = "</think>";
constexpr size_t kLongestPeriod = 1000, kRepeats = 4, kShortestLoop = 200, kShortestRule = 400;

std::string_view trim_ascii(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

}  // namespace

ReasonedReply split_reasoning(std::string_view reply) {
  const std::string_view text = trim_ascii(reply);
  const bool opened = text.starts_with(kOpen);
  const std::string_view inside = opened ? text.substr(kOpen.size()) : text;
  const size_t close = inside.find(kClose);
  if (close != std::string_view::npos) {
    return {trim_ascii(inside.substr(0, close)), trim_ascii(inside.substr(close + kClose.size())), false};
  }
  if (opened) return {trim_ascii(inside), {}, true};
  return {{}, text, false};
}

bool looped(std::string_view text) {
  text = trim_ascii(text);
  // Read backwards, a loop at the end is a prefix with a small period. The Z-function of the last few
  // thousand bytes gives, for every shift, how far the text agrees with itself.
  const std::string tail(text.rbegin(), text.rbegin() + static_cast<ptrdiff_t>(std::min(
                                                            text.size(), kLongestPeriod * (kRepeats + 1))));
  const size_t n = tail.size();
  std::vector<size_t> z(n, 0);
  for (size_t i = 1, left = 0, right = 0; i < n; ++i) {
    if (i < right) z[i] = std::min(right - i, z[i - left]);
    while (i + z[i] < n && tail[z[i]] == tail[i + z[i]]) ++z[i];
    if (i + z[i] > right) left = i, right = i + z[i];
  }
  bool signs = true;  // whether what is repeated has no letters or digits
  for (size_t period = 1; period <= kLongestPeriod && period < n; ++period) {
    const size_t covered = period + z[period];
    signs =
        signs && (is_ascii_punctuation(static_cast<uint8_t>(tail[period - 1])) || tail[period - 1] == ' ');
    if (covered >= kRepeats * period && covered >= (signs ? kShortestRule : kShortestLoop)) return true;
  }
  return false;
}

std::optional<double> judge_rating(std::string_view reply, double scale) {
  for (size_t end = reply.rfind("]]"); end != std::string_view::npos && end > 0;
       end = reply.rfind("]]", end - 1)) {
    const size_t open = reply.rfind("[[", end);
    if (open == std::string_view::npos) return std::nullopt;
    const std::string_view inside = trim_ascii(reply.substr(open + 2, end - open - 2));
    double rating = 0;
    const auto [stop, error] = std::from_chars(inside.data(), inside.data() + inside.size(), rating);
    const bool number = error == std::errc() && stop == inside.data() + inside.size();
    if (number && rating >= 1 && rating <= scale) return rating;
  }
  return std::nullopt;
}

}  // namespace carat
