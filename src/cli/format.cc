#include "cli/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <vector>

namespace carat {
namespace {

/// Three significant digits of x with the prefix that keeps it below 1000.
std::string with_prefix(double x, std::span<const std::string_view> prefixes) {
  size_t i = 0;
  while (x >= 999.5 && i + 1 < prefixes.size()) {
    x /= 1000;
    ++i;
  }
  const int decimals = i == 0 && x == std::floor(x) ? 0 : x < 9.995 ? 2 : x < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}{}", x, decimals, prefixes[i].empty() ? "" : " ", prefixes[i]);
}

int64_t edit_distance(std::string_view a, std::string_view b) {
  const size_t n = b.size() + 1;
  std::vector<int64_t> table((a.size() + 1) * n);
  for (size_t i = 0; i <= a.size(); ++i) table[i * n] = static_cast<int64_t>(i);
  for (size_t j = 0; j <= b.size(); ++j) table[j] = static_cast<int64_t>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      int64_t best = std::min(table[(i - 1) * n + j], table[i * n + j - 1]) + 1;
      best = std::min(best, table[(i - 1) * n + j - 1] + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        best = std::min(best, table[(i - 2) * n + j - 2] + 1);
      table[i * n + j] = best;
    }
  }
  return table.back();
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
  static constexpr std::array<std::string_view, 6> prefixes = {"B", "kB", "MB", "GB", "TB", "PB"};
  return with_prefix(static_cast<double>(bytes), prefixes);
}

std::string human_count(double count) {
  static constexpr std::array<std::string_view, 5> prefixes = {"", "k", "M", "G", "T"};
  return with_prefix(count, prefixes);
}

std::string human_duration(double seconds) {
  const auto s = static_cast<int64_t>(std::clamp(seconds, 0.0, 3.6e9) + 0.5);
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

int64_t display_width(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

std::string_view clipped(std::string_view utf8, int64_t width) {
  size_t i = 0;
  for (; i < utf8.size(); ++i)
    if ((utf8[i] & 0xc0) != 0x80 && width-- <= 0) break;
  return utf8.substr(0, i);
}

std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates) {
  if (name.size() > 64) return {};  // not a slip of the fingers
  std::string_view best;
  int64_t least = static_cast<int64_t>(std::max<size_t>(name.size(), 3) / 3) + 1;
  for (std::string_view candidate : candidates) {
    const int64_t d = edit_distance(lower(name), lower(candidate));
    if (d < least) {
      least = d;
      best = candidate;
    }
  }
  return best;
}

}  // namespace carat
