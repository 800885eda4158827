#include "engine/utf8_stream.h"

#include <cstdint>

namespace carat {
namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";

struct Piece {
  size_t bytes;
  enum { character, ill_formed, unfinished } kind;
};

/// The first piece of s, which is not empty. The range of the second byte excludes overlong forms, surrogates
/// and what lies beyond U+10FFFF (Unicode 15, table 3-7).
Piece next_piece(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {1, Piece::character};
  const size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                        : lead >= 0xe0 && lead <= 0xef ? 3
                        : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                       : 0;
  if (length == 0) return {1, Piece::ill_formed};
  const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  for (size_t i = 1; i < length; ++i) {
    if (i == s.size()) return {i, Piece::unfinished};
    const bool fits = i == 1 ? byte(i) >= low && byte(i) <= high : (byte(i) & 0xc0) == 0x80;
    if (!fits) return {i, Piece::ill_formed};
  }
  return {length, Piece::character};
}

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const Piece piece = next_piece(rest);
    if (piece.kind == Piece::unfinished) break;
    out += piece.kind == Piece::character ? rest.substr(0, piece.bytes) : replacement;
    rest.remove_prefix(piece.bytes);
  }
  pending_ = std::string(rest);
  return out;
}

std::string Utf8Stream::finish() {
  const bool unfinished = !pending_.empty();
  pending_.clear();
  return std::string(unfinished ? replacement : std::string_view{});
}

}  // namespace carat
