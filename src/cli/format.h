// Numbers as people read them, and the nearest of a list of names.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace carat {

/// "987 B", "98.7 MB": decimal units, three significant digits.
std::string human_bytes(uint64_t bytes);
/// "987", "12.3 k", "134 M": decimal prefixes, three significant digits.
std::string human_count(double count);
/// "0:07", "12:34", "1:02:03"
std::string human_duration(double seconds);
/// Columns a text takes in a terminal, one per code point (names and sentences of ours, no wide scripts).
int64_t display_width(std::string_view utf8);
/// The first `width` code points.
std::string_view clipped(std::string_view utf8, int64_t width);

/// Bytes that belong to no valid character.
int64_t invalid_utf8_bytes(std::string_view text);
/// Bytes that are not UTF-8 become U+FFFD, one each; everything else stays.
std::string valid_utf8(std::string_view text);
/// As valid_utf8, and control characters (but line feed and tab) become "\\x1b" and the like: text from a
/// file may not drive the terminal.
std::string printable(std::string_view text);

/// The candidate with the least edit distance to `name` (insert, delete, replace, swap of neighbours), or
/// empty where nothing is close: more than a third of the letters would have to change.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace carat
