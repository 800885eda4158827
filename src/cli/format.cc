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

/// Bytes of the well-formed character at the start of `s` (Unicode table 3-7), or 0.
size_t character_length(std::string_view s) {
  const auto at = [&](size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const auto follows = [&](size_t i) { return (at(i) & 0xc0) == 0x80; };
  const unsigned a = at(0), b = at(1);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a <= 0xdf) return follows(1) ? 2 : 0;
  if (a >= 0xe0 && a <= 0xef) {
    const bool second = follows(1) && !(a == 0xe0 && b < 0xa0) && !(a == 0xed && b > 0x9f);
    return second && follows(2) ? 3 : 0;
  }
  if (a >= 0xf0 && a <= 0xf4) {
    const bool second = follows(1) && !(a == 0xf0 && b < 0x90) && !(a == 0xf4 && b > 0x8f);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

/// Text in which each character is passed through `keep(character, out)` and each stray byte is U+FFFD.
template <class Keep>
std::string repaired(std::string_view text, Keep keep) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t n = character_length(text);
    if (n == 0)
      out += "\xef\xbf\xbd";
    else
      keep(text.substr(0, n), out);
    text.remove_prefix(std::max<size_t>(n, 1));
  }
  return out;
}

}  // namespace

int64_t invalid_utf8_bytes(std::string_view text) {
  int64_t stray = 0;
  while (!text.empty()) {
    const size_t n = character_length(text);
    if (n == 0) ++stray;
    text.remove_prefix(std::max<size_t>(n, 1));
  }
  return stray;
}

std::string valid_utf8(std::string_view text) {
  return repaired(text, [](std::string_view c, std::string& out) { out += c; });
}

std::string printable(std::string_view text) {
  return repaired(text, [](std::string_view c, std::string& out) {
    const auto a = static_cast<unsigned char>(c[0]);
    const bool c1 = c.size() == 2 && a == 0xc2 && static_cast<unsigned char>(c[1]) < 0xa0;  // U+0080..U+009F
    const bool c0 = a == 0x7f || (a < 0x20 && a != '\n' && a != '\t');
    if (c0)
      out += fmt::format("\\x{:02x}", a);
    else if (c1)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c[1]));
    else
      out += c;
  });
}

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
