// IFEval: prompts with instructions that a program can check (Zhou et al. 2023, arXiv:2311.07911).
// lm-evaluation-harness: ifeval; here through the chat template, which the prompts are meant for.
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

Result<std::string> read_ifeval(const ImportRequest& request, ImportSink& sink) {
  const auto take = [&](const std::string& place, json::object&& line) -> Status {
    CARAT_TRY(const int64_t key, integer_field(line, "key", place));
    CARAT_TRY(std::string prompt, text_field(line, "prompt", place));
    CARAT_TRY(const auto instructions, texts_field(line, "instruction_id_list", place));
    const json::array* kwargs = json_array(line.if_contains("kwargs"));
    if (!kwargs) return bad_data("{}: needs \"kwargs\", an array", place);
    json::array groups;  // "length_constraints" of "length_constraints:number_words"
    for (const std::string& i : instructions) groups.emplace_back(i.substr(0, i.find(':')));
    return sink.item(place, {{"id", std::to_string(key)},
                             {"prompt", std::move(prompt)},
                             {"instruction", std::move(groups)},
                             {"expected",
                              {{"instruction_id_list", json::array(instructions.begin(), instructions.end())},
                               {"kwargs", *kwargs}}}});
  };
  CARAT_DO(for_each_object(request.files, take));
  return std::string(
      "kind = \"generate\"\n"
      "check = \"instructions\"\n"
      "slice_by = \"instruction\"\n"
      "generation = {max_tokens = 1280}\n");
}

}  // namespace carat
