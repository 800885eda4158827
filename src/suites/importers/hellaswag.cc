// HellaSwag. lm-evaluation-harness: hellaswag (utils.py: the beginning is activity and context, the context's
// second part with a capital; "[title]" becomes ". ", what stands in brackets goes, two spaces become one).
// The text form (six lines: "activity: context", the label, four endings) was put together so already, but
// for the capital; it is taken as it is.
#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "containers/quote.h"
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"
#include "suites/line_reader.h"
#include "text/utf8.h"

namespace carat {

namespace {

/// As Python's re.sub(r"\[.*?\]", "", text): a bracket without its end stays, as does one that ends only in
/// another line.
std::string without_brackets(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text[at] == '[' ? text.find_first_of("]\n", at) : std::string_view::npos;
    if (end != std::string_view::npos && text[end] == ']') {
      at = end + 1;
    } else {
      out += text[at++];
    }
  }
  return out;
}

std::string cleaned(std::string_view text) {
  return replaced(without_brackets(replaced(stripped(text), " [title]", ". ")), "  ", " ");
}

/// Python's str.capitalize(): the first letter a capital, all others small.
std::string capitalized(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text, at);  // lines are UTF-8
    const auto c = static_cast<utf8proc_int32_t>(utf8_code_point(text, at, length));
    append_utf8(static_cast<uint32_t>(at == 0 ? utf8proc_totitle(c) : utf8proc_tolower(c)), out);
    at += length;
  }
  return out;
}

Status read_objects(const std::string& path, ImportSink& sink) {
  return for_each_object(path, [&](const std::string& place, json::object&& line) -> Status {
    CARAT_TRY(const std::string activity, text_field(line, "activity_label", place));
    CARAT_TRY(const std::string first, text_field(line, "ctx_a", place));
    CARAT_TRY(const std::string second, text_field(line, "ctx_b", place));
    CARAT_TRY(const auto endings, texts_field(line, "endings", place));
    const json::value* label = line.if_contains("label");
    if (!label) return bad_data("{}: needs \"label\", the number of the right ending", place);
    json::array choices;
    for (const std::string& ending : endings) choices.emplace_back(cleaned(ending));
    json::object fields{{"context", cleaned(activity + ": " + first + " " + capitalized(second))},
                        {"choices", std::move(choices)}};
    fields["gold"] = *label;
    if (const json::string* digit = label->if_string())  // Hugging Face writes "3"
      fields["gold"] = digit->size() == 1 ? (*digit)[0] - '0' : -1;
    return sink.item(place, std::move(fields));
  });
}

Status read_lines(const std::string& path, ImportSink& sink) {
  CARAT_TRY(auto lines, LineReader::open(path));
  std::array<std::string, 6> part;
  std::string_view line;
  for (;;) {
    const std::string place = fmt::format("{}:{}", path, lines->number() + 1);
    for (size_t i = 0; i < part.size(); ++i) {
      CARAT_TRY(const bool more, lines->next(line));
      if (!more && i == 0) return {};
      if (!more) return bad_data("{}: {} lines, where an item has six", place, i);
      part[i] = line;
    }
    if (part[1].size() != 1 || part[1][0] < '0' || part[1][0] > '3')
      return bad_data("{}: the label is {} and not 0, 1, 2 or 3", place, quote(part[1]));
    CARAT_DO(sink.item(place, {{"context", part[0]},
                               {"choices", json::array(part.begin() + 2, part.end())},
                               {"gold", part[1][0] - '0'}}));
  }
}

}  // namespace

Result<std::string> read_hellaswag(const ImportRequest& request, ImportSink& sink) {
  for (const std::string& path : request.files) {
    const bool objects = path.ends_with(".jsonl") || path.ends_with(".json");
    CARAT_DO(objects ? read_objects(path, sink) : read_lines(path, sink));
  }
  return std::string("kind = \"choice\"\n");
}

}  // namespace carat
