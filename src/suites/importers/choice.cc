// What lm-evaluation-harness users and MosaicML's llm-foundry write: a query, its choices, the right one.
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

Result<std::string> read_choice(const ImportRequest& request, ImportSink& sink) {
  const auto take = [&](const std::string& place, json::object&& line) -> Status {
    CARAT_DO(text_field(line, "query", place));
    return sink.item(place, std::move(line));
  };
  CARAT_DO(for_each_object(request.files, take));
  return std::string(
      "kind = \"choice\"\n"
      "context = \"{{ query }}\"\n");
}

}  // namespace carat
