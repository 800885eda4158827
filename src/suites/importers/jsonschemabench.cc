// JSONSchemaBench: an instance of a schema from practice (Geng et al. 2025, arXiv:2501.10868).
// lm-evaluation-harness: jsonschema_bench_*, whose sentence this is; here as one request to a chat, without
// examples. A schema that the check cannot
// judge makes its item unscored.
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

Result<std::string> read_jsonschemabench(const ImportRequest& request, ImportSink& sink) {
  const auto take = [&](const std::string& place, json::object&& line) -> Status {
    CARAT_TRY(const std::string name, text_field(line, "name", place));
    const json::value* schema = line.if_contains("schema");
    if (!schema) return bad_data("{}: needs \"schema\"", place);
    const size_t end = name.find("---");  // "Snowplow---sp_0_Normalized"
    return sink.item(place,
                     {{"id", name}, {"set", name.substr(0, end)}, {"expected", {{"schema", *schema}}}});
  };
  CARAT_DO(for_each_object(request.files, take));
  return std::string(
      "kind = \"generate\"\n"
      "check = \"schema\"\n"
      "slice_by = \"set\"\n"
      "prompt = \"Generate a JSON object that matches the following JSON schema.\\n\\n"
      "JSON schema: {{ expected.schema | tojson }}\\n\\nJSON object: \"\n"
      "generation = {max_tokens = 1024}\n");
}

}  // namespace carat
