// LAMBADA: the last word of a passage. lm-evaluation-harness: lambada_openai, whose acc is our `greedy` and
// whose perplexity is exp of the mean of our `gold_nll`.
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

Result<std::string> read_lambada(const ImportRequest& request, ImportSink& sink) {
  const auto take = [&](const std::string& place, json::object&& line) -> Status {
    if (line.contains("text")) {
      CARAT_TRY(const std::string text, text_field(line, "text", place));
      const size_t space = text.rfind(' ');
      if (space == std::string::npos) return bad_data("{}: \"text\" is a single word", place);
      return sink.item(place, {{"context", text.substr(0, space)}, {"continuation", text.substr(space + 1)}});
    }
    CARAT_TRY(std::string context, text_field(line, "context", place));
    CARAT_TRY(std::string word, text_field(line, "continuation", place));
    return sink.item(place, {{"context", std::move(context)}, {"continuation", std::move(word)}});
  };
  CARAT_DO(for_each_object(request.files, take));
  return std::string(
      "kind = \"choice\"\n"
      "metrics = [\"greedy\", \"gold_nll\"]\n");
}

}  // namespace carat
