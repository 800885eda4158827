#include "containers/json.h"

#include <boost/json/src.hpp>

namespace carat {

Result<json::value> parse_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = 64;
  json::stream_parser parser({}, options);
  boost::system::error_code ec;
  const size_t used = parser.write_some(text.data(), text.size(), ec);
  if (!ec && !parser.done()) parser.finish(ec);
  if (ec) return bad_data("not valid JSON at byte {}: {}", used, ec.message());
  if (text.find_first_not_of(" \t\r\n", used) != std::string_view::npos)
    return bad_data("not valid JSON: something follows the value at byte {}", used);
  return parser.release();
}

namespace {

void print(const json::value& v, int indent, std::string& out) {
  const std::string pad(static_cast<size_t>(indent + 2), ' ');
  const std::string end(static_cast<size_t>(indent), ' ');
  if (const auto* o = v.if_object(); o && !o->empty()) {
    out += "{\n";
    const char* separator = "";
    for (const auto& [key, item] : *o) {
      out += separator;
      out += pad + json::serialize(json::string(key)) + ": ";
      print(item, indent + 2, out);
      separator = ",\n";
    }
    out += "\n" + end + "}";
  } else if (const auto* a = v.if_array(); a && !a->empty()) {
    out += "[\n";
    const char* separator = "";
    for (const auto& item : *a) {
      out += separator;
      out += pad;
      print(item, indent + 2, out);
      separator = ",\n";
    }
    out += "\n" + end + "]";
  } else {
    out += json::serialize(v);
  }
}

}  // namespace

std::string pretty_json(const json::value& value) {
  std::string out;
  print(value, 0, out);
  out += "\n";
  return out;
}

const json::value* json_find(const json::value& object, std::string_view key) {
  const auto* o = object.if_object();
  return o ? o->if_contains(key) : nullptr;
}
const json::object* json_object(const json::value* value) { return value ? value->if_object() : nullptr; }
const json::array* json_array(const json::value* value) { return value ? value->if_array() : nullptr; }
const json::string* json_string(const json::value* value) { return value ? value->if_string() : nullptr; }

}  // namespace carat
