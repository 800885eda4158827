// Berkeley Function-Calling Leaderboard: which of the given functions to call and how, or that none fits.
// Answers (possible_answer/*.json) are found by their ids, wherever they stand among the files; the
// irrelevance categories have none and expect no call. Parameter types are BFCL's own ("dict", "float",
// "tuple", "any") and become those of JSON Schema, as in its own handlers.
#include <unordered_map>

#include "containers/quote.h"
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

namespace {

constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
    {"dict", "object"}, {"float", "number"}, {"tuple", "array"}, {"any", "string"}};

/// Types in a schema by JSON Schema's names. The depth is that of parsed JSON, which is limited.
void rename_types(json::value& schema) {
  if (auto* list = schema.if_array())
    for (json::value& item : *list) rename_types(item);
  auto* object = schema.if_object();
  if (!object) return;
  for (auto&& member : *object) {
    auto* type = member.key() == "type" ? member.value().if_string() : nullptr;
    for (const auto& [from, to] : kTypes)
      if (type && *type == from) {
        *type = to;
        break;
      }
    rename_types(member.value());
  }
}

/// "live_simple" of "live_simple_0-0-0".
std::string category_of(const std::string& id) {
  return id.substr(0, id.find_last_not_of("0123456789-_") + 1);
}

}  // namespace

Result<std::string> read_bfcl(const ImportRequest& request, ImportSink& sink) {
  std::unordered_map<std::string, json::value> answers;
  const auto take_answer = [&](const std::string& place, json::object&& line) -> Status {
    if (!line.contains("ground_truth")) return {};
    CARAT_TRY(const std::string id, text_field(line, "id", place));
    answers[id] = line["ground_truth"];
    return {};
  };
  CARAT_DO(for_each_object(request.files, take_answer));
  const auto take_question = [&](const std::string& place, json::object&& line) -> Status {
    if (line.contains("ground_truth")) return {};
    CARAT_TRY(const std::string id, text_field(line, "id", place));
    const json::array* question = json_array(line.if_contains("question"));
    const json::array* functions = json_array(line.if_contains("function"));
    if (!question || question->size() != 1 || !(*question)[0].is_array() || !functions)
      return bad_data("{}: needs \"question\", a conversation of one request, and \"function\"", place);
    json::array tools;
    for (const json::value& function : *functions) {
      json::value schema = function;
      rename_types(schema);
      tools.push_back({{"type", "function"}, {"function", std::move(schema)}});
    }
    const std::string category = category_of(id);
    json::object expected{{"functions", *functions}};
    if (category.find("irrelevance") != std::string::npos) {
      expected["irrelevant"] = true;
    } else {
      const auto answer = answers.find(id);
      if (answer == answers.end())
        return bad_data("{}: there is no answer to {}; name the file of possible_answer too", place,
                        quote(id));
      expected["ground_truth"] = answer->second;
    }
    return sink.item(place, {{"id", id},
                             {"category", category},
                             {"turns", (*question)[0]},
                             {"tools", std::move(tools)},
                             {"expected", std::move(expected)}});
  };
  CARAT_DO(for_each_object(request.files, take_question));
  return std::string(
      "kind = \"generate\"\n"
      "check = \"tools\"\n"
      "slice_by = \"category\"\n"
      "generation = {max_tokens = 512}\n");
}

}  // namespace carat
