// How names of encodings are compared, and who looks for those of grouped ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace carat {

struct Encoding;

inline bool same_ignoring_case(std::string_view a, std::string_view b) {
  constexpr auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; };
  return std::ranges::equal(a, b, {}, upper, upper);
}

/// By name and by GGUF id; null where there is none.
const Encoding* find_grouped(std::string_view name);
const Encoding* find_grouped_type(uint32_t id);

}  // namespace carat
