#include "cards/valid_json.h"

#include <cmath>

#include "text/utf8.h"

namespace carat {

std::string json_text(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t valid = valid_utf8_prefix(text, at), invalid = invalid_utf8_prefix(text, at + valid);
    out += text.substr(at, valid);
    for (size_t i = 0; i < invalid; ++i) append_utf8(0xfffd, out);
    at += valid + invalid;
  }
  return out;
}

json::value json_number(double x) {
  if (std::isfinite(x)) return x;
  return std::isnan(x) ? "NaN" : x > 0 ? "Infinity" : "-Infinity";
}

json::value valid_json(const json::value& value) {
  if (const auto* s = value.if_string()) return json::string(json_text(*s));
  if (const auto* d = value.if_double()) return json_number(*d);
  if (const auto* a = value.if_array()) {
    json::array out;
    for (const auto& item : *a) out.push_back(valid_json(item));
    return out;
  }
  if (const auto* o = value.if_object()) {
    json::object out;
    for (const auto& [key, item] : *o) out[json_text(key)] = valid_json(item);
    return out;
  }
  return value;
}

}  // namespace carat
