#include "containers/quote.h"

#include <fmt/format.h>

namespace carat {

std::string quote(std::string_view text) {
  constexpr size_t limit = 100;
  std::string out = "\"";
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  out += text.size() > limit ? "...\"" : "\"";
  return out;
}

}  // namespace carat
