// MT-bench: conversations of two questions, to be judged by a rubric (Zheng et al. 2023, arXiv:2306.05685).
// The rubric stands in the suite and is so part of its digest; what it weighs is what the paper's judge is
// told to.
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

Result<std::string> read_mtbench(const ImportRequest& request, ImportSink& sink) {
  const auto take = [&](const std::string& place, json::object&& line) -> Status {
    CARAT_TRY(const int64_t id, integer_field(line, "question_id", place));
    CARAT_TRY(const std::string category, text_field(line, "category", place));
    CARAT_TRY(const auto turns, texts_field(line, "turns", place));
    json::object expected;
    if (const json::array* reference = json_array(line.if_contains("reference")))
      expected["reference"] = *reference;
    return sink.item(place, {{"id", std::to_string(id)},
                             {"category", category},
                             {"turns", json::array(turns.begin(), turns.end())},
                             {"expected", std::move(expected)}});
  };
  CARAT_DO(for_each_object(request.files, take));
  return std::string(
      "kind = \"generate\"\n"
      "check = \"rubric\"\n"
      "check_with = {rubric = \"Helpfulness, relevance, accuracy, depth, creativity and level of detail of "
      "both "
      "answers, the second above all.\", low = 1, high = 10}\n"
      "slice_by = \"category\"\n"
      "generation = {max_tokens = 1024}\n");
}

}  // namespace carat
