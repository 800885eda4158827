#include "suites/importers/reading.h"

#include <algorithm>

#include "base/file_name.h"
#include "containers/quote.h"
#include "suites/line_reader.h"

namespace carat {

namespace {
constexpr std::string_view kSpace = " \t\r\n\v\f";
}

Status for_each_object(const std::string& path,
                       const std::function<Status(const std::string& place, json::object&&)>& sink) {
  CARAT_TRY(auto lines, LineReader::open(path));
  std::string_view line;
  for (;;) {
    CARAT_TRY(const bool more, lines->next(line));
    if (!more) return {};
    if (line.find_first_not_of(kSpace) == std::string_view::npos) continue;
    const std::string place = fmt::format("{}:{}", path, lines->number());
    auto value = parse_json(line);
    if (!value.ok()) return std::move(value).error().within(place);
    if (!value->is_object()) return bad_data("{}: not a JSON object", place);
    CARAT_DO(sink(place, std::move(value->get_object())));
  }
}

Status for_each_object(const std::vector<std::string>& paths,
                       const std::function<Status(const std::string& place, json::object&&)>& sink) {
  for (const std::string& path : paths) CARAT_DO(for_each_object(path, sink));
  return {};
}

Status for_each_row(const std::string& path,
                    const std::function<Status(const std::string& place, std::vector<std::string>&&)>& sink) {
  constexpr size_t longest_field = 1 << 20, most_fields = 1000;
  CARAT_TRY(auto lines, LineReader::open(path));
  std::string_view line;
  std::vector<std::string> row;
  std::string field;
  bool quoted = false;
  int64_t begun = 0;
  for (;;) {
    CARAT_TRY(const bool more, lines->next(line));
    if (!more) break;
    if (!quoted) {
      if (line.empty()) continue;
      begun = lines->number();
      row.clear();
    }
    for (size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
        field += '"';
        ++i;
      } else if (c == '"' && (quoted || field.empty())) {
        quoted = !quoted;
      } else if (c == ',' && !quoted) {
        row.push_back(std::exchange(field, {}));
      } else {
        field += c;
      }
      if (field.size() > longest_field || row.size() > most_fields)
        return bad_data("{}:{}: a row of too many or too long fields; is a quote missing?", path, begun);
    }
    if (quoted) {
      field += '\n';
      continue;
    }
    row.push_back(std::exchange(field, {}));
    CARAT_DO(sink(fmt::format("{}:{}", path, begun), std::exchange(row, {})));
  }
  if (quoted) return bad_data("{}:{}: a quote that is opened here is never closed", path, begun);
  return {};
}

Result<std::string> text_field(const json::object& object, std::string_view field, const std::string& place) {
  const json::string* text = json_string(object.if_contains(field));
  if (!text) return bad_data("{}: needs {}, a string", place, quote(field));
  return std::string(*text);
}

Result<int64_t> integer_field(const json::object& object, std::string_view field, const std::string& place) {
  const json::value* v = object.if_contains(field);
  if (!v || !v->is_int64()) return bad_data("{}: needs {}, a whole number", place, quote(field));
  return v->get_int64();
}

Result<std::vector<std::string>> texts_field(const json::object& object, std::string_view field,
                                             const std::string& place) {
  const json::array* list = json_array(object.if_contains(field));
  std::vector<std::string> out;
  bool good = list != nullptr;
  for (size_t i = 0; good && i < list->size(); ++i) {
    const json::string* text = (*list)[i].if_string();
    good = text != nullptr;
    if (good) out.emplace_back(*text);
  }
  if (!good) return bad_data("{}: needs {}, an array of strings", place, quote(field));
  return out;
}

std::string stem_of(const std::string& path) {
  const std::string name = file_name(path);
  const size_t dot = name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

std::string stripped(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) - begin + 1));
}

std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  for (size_t at = 0;;) {
    const size_t found = text.find(what, at);
    out += text.substr(at, found - at);
    if (found == std::string_view::npos) return out;
    out += with;
    at = found + what.size();
  }
}

std::vector<std::string> split_stripped(std::string_view text, std::string_view separator) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    if (std::string part = stripped(text.substr(at, end - at)); !part.empty()) out.push_back(std::move(part));
    at = end + separator.size();
  }
  return out;
}

}  // namespace carat
