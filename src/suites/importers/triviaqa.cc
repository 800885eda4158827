// TriviaQA without its documents. lm-evaluation-harness: triviaqa (generation ends at a line end, full stop
// or comma; right is any alias, whatever its case and punctuation).
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

Result<std::string> read_triviaqa(const ImportRequest& request, ImportSink& sink) {
  const auto take = [&](const std::string& place, json::object&& line) -> Status {
    std::string prompt;
    if (line.contains("context")) {
      CARAT_TRY(prompt, text_field(line, "context", place));
    } else {
      CARAT_TRY(const std::string question, text_field(line, "question", place));
      prompt = fmt::format("Question: {}?\nAnswer:", question);
    }
    const json::object* answer = json_object(line.if_contains("answer"));  // Hugging Face nests the aliases
    CARAT_TRY(auto aliases, texts_field(answer ? *answer : line, "aliases", place));
    if (!answer) {
      CARAT_TRY(std::string best, text_field(line, "answer", place));
      aliases.insert(aliases.begin(), std::move(best));
    }
    return sink.item(place, {{"prompt", std::move(prompt)},
                             {"expected", {{"answers", json::array(aliases.begin(), aliases.end())}}}});
  };
  CARAT_DO(for_each_object(request.files, take));
  return std::string(
      "kind = \"generate\"\n"
      "check = \"exact\"\n"
      "check_with = {ignore_case = true, ignore_punctuation = true}\n"
      "generation = {chat = false, max_tokens = 32, stop = [\"\\n\", \".\", \",\"]}\n");
}

}  // namespace carat
