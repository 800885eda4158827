// UTF-8 one character at a time. Text may come from anywhere, so a byte that starts no valid character is
// reported as such and never guessed at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace carat {

/// Length (1 to 4) of the valid character at text[at], or 0 where the byte starts none: overlong forms,
/// surrogates, values above U+10FFFF and cut-off sequences are invalid (Unicode, table 3-7).
inline size_t utf8_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const auto in = [](uint8_t b, uint8_t low, uint8_t high) { return b >= low && b <= high; };
  const uint8_t b0 = byte(at), b1 = byte(at + 1);
  if (b0 < 0x80) return 1;
  if (in(b0, 0xc2, 0xdf)) return in(b1, 0x80, 0xbf) ? 2 : 0;
  if (in(b0, 0xe0, 0xef)) {
    const uint8_t low = b0 == 0xe0 ? 0xa0 : 0x80, high = b0 == 0xed ? 0x9f : 0xbf;
    return in(b1, low, high) && in(byte(at + 2), 0x80, 0xbf) ? 3 : 0;
  }
  if (in(b0, 0xf0, 0xf4)) {
    const uint8_t low = b0 == 0xf0 ? 0x90 : 0x80, high = b0 == 0xf4 ? 0x8f : 0xbf;
    return in(b1, low, high) && in(byte(at + 2), 0x80, 0xbf) && in(byte(at + 3), 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

/// The code point of a valid character of the given length.
inline uint32_t utf8_code_point(std::string_view text, size_t at, size_t length) {
  const auto byte = [&](size_t i) { return uint32_t{static_cast<uint8_t>(text[at + i])}; };
  if (length == 1) return byte(0);
  if (length == 2) return (byte(0) & 0x1f) << 6 | (byte(1) & 0x3f);
  if (length == 3) return (byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
  return (byte(0) & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
}

inline void append_utf8(uint32_t c, std::string& out) {
  const auto put = [&](uint32_t b) { out.push_back(static_cast<char>(b)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6), put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | c >> 18), put(0x80 | (c >> 12 & 0x3f)), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  }
}

/// Length of the stretch from `at` that is valid, or (second form) that is not.
inline size_t valid_utf8_prefix(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size()) {
    const size_t n = utf8_length(text, end);
    if (n == 0) break;
    end += n;
  }
  return end - at;
}
inline size_t invalid_utf8_prefix(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && utf8_length(text, end) == 0) ++end;
  return end - at;
}

}  // namespace carat
