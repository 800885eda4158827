// What SentencePiece's two models (BPE and unigram) share: U+2581 for a space, characters, where text falls
// apart.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/text_model.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace carat {

inline constexpr std::string_view visible_space = "\xe2\x96\x81";

/// Length and code of the character at `at`; a byte that is no UTF-8 is a character of its own.
struct Character {
  size_t length;
  uint32_t code;
};
inline Character character_at(std::string_view text, size_t at) {
  const size_t n = utf8_length(text, at);
  if (n == 0) return {1, 0x110000u + static_cast<uint8_t>(text[at])};
  return {n, utf8_code_point(text, at, n)};
}

/// Which two characters stand next to each other inside some token. No token reaches across two that do not,
/// so text falls apart there into pieces that are tokenized on their own (words, in practice) with the same
/// result. A filter of hashes: where it errs, a piece is longer than need be.
class Joints {
 public:
  explicit Joints(const Vocabulary& vocabulary) {
    for (size_t id = 0; id < vocabulary.size(); ++id) {
      const std::string_view text = vocabulary.texts[id];
      for (size_t at = 0; at < text.size();) {
        const Character c = character_at(text, at);
        at += c.length;
        if (at < text.size()) bits_[slot(c.code, character_at(text, at).code)] = true;
      }
    }
  }
  /// Where the piece that begins at `begin` ends; begin < text.size().
  size_t end_of_piece(std::string_view text, size_t begin) const {
    Character last = character_at(text, begin);
    size_t end = begin + last.length;
    while (end < text.size()) {
      const Character next = character_at(text, end);
      if (!bits_[slot(last.code, next.code)]) break;
      end += next.length;
      last = next;
    }
    return end;
  }

 private:
  static constexpr size_t count = size_t{1} << 22;
  static size_t slot(uint32_t left, uint32_t right) {
    return static_cast<size_t>(((uint64_t{left} << 32 | right) * 0x9e3779b97f4a7c15ull) >> 42);
  }
  std::vector<bool> bits_ = std::vector<bool>(count);
};

/// U+2581 back to a space.
inline std::string with_spaces(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const bool space = text.substr(at).starts_with(visible_space);
    out.push_back(space ? ' ' : text[at]);
    at += space ? visible_space.size() : 1;
  }
  return out;
}

/// The bytes an ordinary piece stands for.
inline std::string bytes_of_piece(const Vocabulary& vocabulary, TokenId id) {
  const std::string_view text = vocabulary.texts[static_cast<size_t>(id)];
  if (vocabulary.types[static_cast<size_t>(id)] == TokenType::byte) {
    const int value = byte_token_value(text);
    if (value >= 0) return std::string(1, static_cast<char>(value));
  }
  return with_spaces(text);
}

/// Tokenizes the pieces that a text falls apart into: the one at `begin` ends at end_of(begin), and
/// encode_piece(piece, after_unknown, to) appends its tokens. `independent`: no piece depends on the one
/// before it, since bytes stand for what is unknown; words that come again are then looked up in `scratch`.
template <class EndOf, class EncodePiece>
Status encode_pieces(std::string_view text, bool independent, EndOf&& end_of, EncodePiece&& encode_piece,
                     EncodeScratch& scratch, std::vector<TokenId>& out) {
  bool after_unknown = false;
  const auto encode = [&](std::string_view piece, std::vector<TokenId>& to) -> Status {
    encode_piece(piece, after_unknown, to);
    return {};
  };
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = end_of(begin);
    const std::string_view piece = text.substr(begin, end - begin);
    begin = end;
    if (independent) {
      CARAT_DO(scratch.cached(piece, encode, out));
    } else {
      CARAT_DO(encode(piece, out));
    }
  }
  return {};
}

}  // namespace carat
