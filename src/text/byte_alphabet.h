// Byte-level BPE writes every byte as one printable character (GPT-2, Radford et al. 2019): '!'..'~',
// U+00A1.. U+00AC and U+00AE..U+00FF stand for themselves, the other 68 bytes, in order, for U+0100, U+0101,
// ... A space is thus U+0120 in vocabularies of this kind.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "text/utf8.h"

namespace carat {

constexpr bool byte_stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

constexpr std::array<uint16_t, 256> make_byte_alphabet() {
  std::array<uint16_t, 256> characters{};
  uint16_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    characters[static_cast<size_t>(b)] = byte_stands_for_itself(b) ? static_cast<uint16_t>(b) : next++;
  }
  return characters;
}

/// Code point of each byte.
inline constexpr std::array<uint16_t, 256> byte_alphabet = make_byte_alphabet();

/// The byte a code point stands for, or -1.
inline int byte_of_character(uint32_t character) {
  if (character < 0x100)
    return byte_stands_for_itself(static_cast<int>(character)) ? static_cast<int>(character) : -1;
  if (character >= 0x100 + 68) return -1;
  static constexpr auto shifted = [] {
    std::array<uint8_t, 68> bytes{};
    size_t n = 0;
    for (int b = 0; b < 256; ++b) {
      if (!byte_stands_for_itself(b)) bytes[n++] = static_cast<uint8_t>(b);
    }
    return bytes;
  }();
  return shifted[character - 0x100];
}

/// The bytes a vocabulary entry stands for; what is no such character (converters leave some) stays as it is.
inline std::string bytes_of_characters(std::string_view text) {
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const size_t n = utf8_length(text, at);
    const int byte = n == 0 ? -1 : byte_of_character(utf8_code_point(text, at, n));
    if (byte >= 0) {
      bytes.push_back(static_cast<char>(byte));
    } else {
      bytes.append(text.substr(at, n == 0 ? 1 : n));
    }
    at += n == 0 ? 1 : n;
  }
  return bytes;
}

}  // namespace carat
