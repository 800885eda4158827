// Two beginnings, one ending: which beginning makes the ending likelier (partial scoring, Trinh and Le 2018,
// arXiv:1806.02847). lm-evaluation-harness: winogrande, wsc273.
#include "containers/quote.h"
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

namespace {

/// WinoGrande's own form: a sentence with one blank, "_", and two options.
Result<json::object> from_sentence(const json::object& line, const std::string& place) {
  CARAT_TRY(const std::string sentence, text_field(line, "sentence", place));
  CARAT_TRY(const std::string first, text_field(line, "option1", place));
  CARAT_TRY(const std::string second, text_field(line, "option2", place));
  CARAT_TRY(const std::string answer, text_field(line, "answer", place));
  const size_t blank = sentence.find('_');
  if (blank == std::string::npos) return bad_data("{}: \"sentence\" has no blank, '_'", place);
  if (answer != "1" && answer != "2")
    return bad_data("{}: \"answer\" is {} and neither \"1\" nor \"2\"", place, quote(answer));
  const std::string before = sentence.substr(0, blank);
  return json::object{{"contexts", {before + first, before + second}},
                      {"continuation", stripped(sentence.substr(blank + 1))},
                      {"gold", answer == "1" ? 0 : 1}};
}

}  // namespace

Result<std::string> read_winogrande(const ImportRequest& request, ImportSink& sink) {
  const auto take = [&](const std::string& place, json::object&& line) -> Status {
    if (line.contains("sentence")) {
      CARAT_TRY(json::object fields, from_sentence(line, place));
      return sink.item(place, std::move(fields));
    }
    CARAT_TRY(const auto contexts, texts_field(line, "context_options", place));
    CARAT_TRY(std::string continuation, text_field(line, "continuation", place));
    CARAT_TRY(const int64_t gold, integer_field(line, "gold", place));
    return sink.item(place, {{"contexts", json::array(contexts.begin(), contexts.end())},
                             {"continuation", std::move(continuation)},
                             {"gold", gold}});
  };
  CARAT_DO(for_each_object(request.files, take));
  return std::string("kind = \"choice\"\n");
}

}  // namespace carat
