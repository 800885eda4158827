// Plain text as documents: one a file, or one between blank lines, or one under each main heading as WikiText
// writes them (" = Title = ", not " = = Part = = ").
#include "containers/quote.h"
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"
#include "suites/line_reader.h"

namespace carat {

namespace {

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t") == std::string_view::npos; }

bool is_heading(std::string_view line) {
  const std::string text = stripped(line);
  return text.size() > 4 && text.starts_with("= ") && text.ends_with(" =") && !text.starts_with("= =");
}

}  // namespace

Result<std::string> read_text(const ImportRequest& request, ImportSink& sink) {
  const std::string& split = request.split;
  if (!split.empty() && split != "file" && split != "blank" && split != "heading")
    return usage_error("documents end at \"file\", \"blank\" or \"heading\", not at {}", quote(split));
  for (const std::string& path : request.files) {
    CARAT_TRY(auto lines, LineReader::open(path));
    const std::string stem = stem_of(path);
    std::string document, place;
    int64_t number = 0;
    const auto hand_over = [&]() -> Status {
      const std::string text = stripped(document);
      document.clear();
      if (text.empty()) return {};
      const std::string id = fmt::format("{}#{}", stem, ++number);
      return sink.item(place, {{"id", id}, {"file", stem}, {"text", text}});
    };
    std::string_view line;
    for (;;) {
      CARAT_TRY(const bool more, lines->next(line));
      if (!more) break;
      if ((split == "blank" && is_blank(line)) || (split == "heading" && is_heading(line)))
        CARAT_DO(hand_over());
      if (document.empty()) place = fmt::format("{}:{}", path, lines->number());
      document += line;
      document += '\n';
      if (document.size() > LineReader::kLongestLine / 2)
        return bad_data("{}: a document of more than {} MB; split it", place, LineReader::kLongestLine >> 21);
    }
    CARAT_DO(hand_over());
  }
  return std::string(
      "kind = \"perplexity\"\n"
      "slice_by = \"file\"\n");
}

}  // namespace carat
