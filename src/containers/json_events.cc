#include "containers/json_events.h"

#include <boost/json/basic_parser_impl.hpp>

#include <optional>
#include <string>

namespace carat {

namespace {

/// Boost.JSON's handler interface on one side, JsonEvents on the other.
struct Handler {
  using error_code = boost::json::error_code;
  using string_view = boost::json::string_view;
  static constexpr size_t max_object_size = SIZE_MAX;
  static constexpr size_t max_array_size = SIZE_MAX;
  static constexpr size_t max_key_size = SIZE_MAX;
  static constexpr size_t max_string_size = SIZE_MAX;

  size_t longest = 0;
  JsonEvents* events = nullptr;
  std::string text;  // parts of a string so far
  std::optional<Error> failure;

  bool pass(Status status, error_code& ec) {
    if (status) return true;
    failure = std::move(status).error();
    ec = boost::json::error::exception;  // any error stops the parser; the sentence is in `failure`
    return false;
  }
  bool part(string_view s, error_code& ec) {
    if (s.size() > longest - text.size()) {
      return pass(bad_data("a string of the JSON text is longer than the {} bytes allowed", longest), ec);
    }
    text.append(s.data(), s.size());
    return true;
  }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code& ec) { return pass(events->begin_object(), ec); }
  bool on_object_end(size_t, error_code& ec) { return pass(events->end_object(), ec); }
  bool on_array_begin(error_code& ec) { return pass(events->begin_array(), ec); }
  bool on_array_end(size_t, error_code& ec) { return pass(events->end_array(), ec); }
  bool on_key_part(string_view s, size_t, error_code& ec) { return part(s, ec); }
  bool on_key(string_view s, size_t, error_code& ec) {
    const bool ok = part(s, ec) && pass(events->key(text), ec);
    text.clear();
    return ok;
  }
  bool on_string_part(string_view s, size_t, error_code& ec) { return part(s, ec); }
  bool on_string(string_view s, size_t, error_code& ec) {
    const bool ok = part(s, ec) && pass(events->string(text), ec);
    text.clear();
    return ok;
  }
  bool on_number_part(string_view, error_code&) { return true; }
  bool on_int64(int64_t i, string_view, error_code& ec) {
    return pass(i < 0 ? events->other() : events->integer(static_cast<uint64_t>(i)), ec);
  }
  bool on_uint64(uint64_t u, string_view, error_code& ec) { return pass(events->integer(u), ec); }
  bool on_double(double, string_view, error_code& ec) { return pass(events->other(), ec); }
  bool on_bool(bool, error_code& ec) { return pass(events->other(), ec); }
  bool on_null(error_code& ec) { return pass(events->other(), ec); }
  bool on_comment_part(string_view, error_code&) { return true; }
  bool on_comment(string_view, error_code&) { return true; }
};

}  // namespace

Status read_json_events(std::string_view text, size_t longest, JsonEvents& events) {
  boost::json::parse_options options;
  options.max_depth = 64;
  boost::json::basic_parser<Handler> parser(options);
  parser.handler().longest = longest;
  parser.handler().events = &events;
  boost::json::error_code ec;
  const size_t used = parser.write_some(false, text.data(), text.size(), ec);
  if (parser.handler().failure) return *std::move(parser.handler().failure);
  if (ec) return bad_data("not valid JSON at byte {}: {}", used, ec.message());
  if (text.find_first_not_of(" \t\r\n", used) != std::string_view::npos) {
    return bad_data("not valid JSON: something follows the value at byte {}", used);
  }
  return {};
}

}  // namespace carat
