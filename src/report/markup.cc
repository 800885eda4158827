#include "report/markup.h"

#include <utf8proc.h>

#include <numeric>
#include <vector>

#include "text/utf8.h"

namespace carat {
namespace {

constexpr uint32_t kReplacement = 0xfffd, kEllipsis = 0x2026;

/// Embeddings, overrides, isolates and marks of direction (Unicode Standard Annex 9).
bool reorders(uint32_t c) {
  return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f ||
         c == 0x061c;
}

/// Outside XML's Char: non-characters at the end of the basic plane. C1 controls are allowed there, but shown
/// by nobody.
bool is_unshowable(uint32_t c) { return c == 0xfffe || c == 0xffff || (c >= 0x80 && c < 0xa0); }

void append_escaped(uint32_t c, std::string& out) {
  switch (c) {
    case '&':
      out += "&amp;";
      return;
    case '<':
      out += "&lt;";
      return;
    case '>':
      out += "&gt;";
      return;
    case '"':
      out += "&quot;";
      return;
    case '\'':
      out += "&#39;";
      return;
    case '\n':
    case '\t':
      out += static_cast<char>(c);
      return;
    default:
      break;
  }
  if (c < 0x20)
    append_utf8(0x2400 + c, out);
  else if (c == 0x7f)
    append_utf8(0x2421, out);
  else if (reorders(c))
    out += fmt::format("[U+{:04X}]", c);
  else
    append_utf8(is_unshowable(c) ? kReplacement : c, out);
}

int64_t columns_of(uint32_t c) {
  return c < 0x300 ? 1 : utf8proc_charwidth(static_cast<utf8proc_int32_t>(c));
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (size_t at = 0; at < text.size();) {
    const size_t n = utf8_length(text, at);
    append_escaped(n == 0 ? kReplacement : utf8_code_point(text, at, n), out);
    at += n == 0 ? 1 : n;
  }
  return out;
}

std::string clipped_text(std::string_view text, int64_t columns) {
  std::vector<size_t> starts;  // of each character, and the end
  std::vector<int64_t> widths;
  for (size_t at = 0; at < text.size();) {
    const size_t n = utf8_length(text, at);
    starts.push_back(at);
    widths.push_back(n == 0 ? 1 : columns_of(utf8_code_point(text, at, n)));
    at += n == 0 ? 1 : n;
  }
  starts.push_back(text.size());
  if (std::accumulate(widths.begin(), widths.end(), int64_t{0}) <= columns) return std::string(text);
  const int64_t tail = columns / 2, head = columns - 1 - tail;
  size_t first = 0, last = widths.size();
  for (int64_t used = 0; first < last && used + widths[first] <= head; ++first) used += widths[first];
  for (int64_t used = 0; last > first && used + widths[last - 1] <= tail; --last) used += widths[last - 1];
  std::string out(text.substr(0, starts[first]));
  append_utf8(kEllipsis, out);
  out += text.substr(starts[last]);
  return out;
}

std::string shortened(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  // Back to the beginning of a character, unless there is none near.
  size_t end = bytes;
  while (end > 0 && bytes - end < 3 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  std::string out(text.substr(0, end));
  append_utf8(kEllipsis, out);
  return out;
}

}  // namespace carat
