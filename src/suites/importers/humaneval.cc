// HumanEval: a function to complete, and its tests. lm-evaluation-harness: humaneval.
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

Result<std::string> read_humaneval(const ImportRequest& request, ImportSink& sink) {
  const auto take = [&](const std::string& place, json::object&& line) -> Status {
    for (const char* field : {"task_id", "prompt", "test", "entry_point"})
      CARAT_DO(text_field(line, field, place));
    return sink.item(
        place,
        {{"id", line["task_id"]},
         {"prompt", line["prompt"]},
         {"expected",
          {{"prompt", line["prompt"]}, {"entry_point", line["entry_point"]}, {"tests", line["test"]}}}});
  };
  CARAT_DO(for_each_object(request.files, take));
  return std::string(
      "kind = \"generate\"\n"
      "check = \"python\"\n"
      "generation = {chat = false, max_tokens = 1024, "
      "stop = [\"\\nclass\", \"\\ndef\", \"\\n#\", \"\\nif\", \"\\nprint\"]}\n");
}

}  // namespace carat
