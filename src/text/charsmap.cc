#include "text/charsmap.h"

#include <algorithm>

namespace carat {
namespace {

// SentencePiece's own maps have sources of at most 12 bytes and replacements of at most 33. The limits keep
// normalising linear in the text: a trie can be made to run in a circle.
constexpr size_t max_source_bytes = 64;
constexpr size_t max_replacement_bytes = 1024;
constexpr size_t max_blob_bytes = size_t{1} << 26;

uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }
bool has_value(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t label_of(uint32_t unit) { return unit & (0x80000000u | 0xff); }
uint32_t value_of(uint32_t unit) { return unit & 0x7fffffffu; }

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view blob) {
  Charsmap map;
  if (blob.empty()) return map;
  const auto word = [&](size_t at) {
    uint32_t w = 0;
    for (size_t i = 0; i < 4; ++i) w |= uint32_t{static_cast<uint8_t>(blob[at + i])} << 8 * i;
    return w;
  };
  if (blob.size() > max_blob_bytes) return bad_data("the table of characters has {} bytes", blob.size());
  if (blob.size() < 8) return bad_data("the table of characters has only {} bytes", blob.size());
  const size_t trie_bytes = word(0);
  if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes >= blob.size() - 4) {
    return bad_data("the table of characters claims {} bytes of trie within {}", trie_bytes, blob.size());
  }
  map.units_.resize(trie_bytes / 4);
  for (size_t i = 0; i < map.units_.size(); ++i) map.units_[i] = word(4 + 4 * i);
  map.replacements_ = blob.substr(4 + trie_bytes);
  if (map.replacements_.back() != '\0')
    return bad_data("the last replacement in the table of characters does not end");
  for (size_t at = 0; at < map.replacements_.size();) {
    const size_t end = map.replacements_.find('\0', at);
    if (end - at > max_replacement_bytes)
      return bad_data("a replacement in the table of characters has {} bytes", end - at);
    at = end + 1;
  }
  for (size_t i = 0; i < map.units_.size(); ++i) {
    const uint32_t unit = map.units_[i];
    if (unit >> 31 != 0 || !has_value(unit)) continue;
    const size_t child = i ^ offset_of(unit);
    if (child >= map.units_.size() || value_of(map.units_[child]) >= map.replacements_.size())
      return bad_data("entry {} of the table of characters points past its end", i);
  }
  return map;
}

Charsmap::Match Charsmap::longest_at(std::string_view text, size_t at) const {
  Match match;
  if (units_.empty()) return match;
  const size_t end = std::min(text.size(), at + max_source_bytes);
  size_t node = offset_of(units_[0]);
  for (size_t i = at; i < end; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    // Child 0 holds the value; a zero byte of the text must not reach it.
    if (byte == 0 || node >= units_.size() || label_of(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (!has_value(unit)) continue;
    const size_t begin = value_of(units_[node]);
    match.length = i + 1 - at;
    match.replacement =
        std::string_view(replacements_).substr(begin, replacements_.find('\0', begin) - begin);
  }
  return match;
}

}  // namespace carat
