// BLiMP: which of two sentences is likelier. lm-evaluation-harness: blimp_*, with an empty context.
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

Result<std::string> read_blimp(const ImportRequest& request, ImportSink& sink) {
  const auto take = [&](const std::string& place, json::object&& line) -> Status {
    CARAT_TRY(std::string good, text_field(line, "sentence_good", place));
    CARAT_TRY(std::string bad, text_field(line, "sentence_bad", place));
    CARAT_TRY(const std::string paradigm, text_field(line, "UID", place));
    CARAT_TRY(const std::string pair, text_field(line, "pairID", place));
    CARAT_TRY(const std::string term, text_field(line, "linguistics_term", place));
    return sink.item(place, {{"id", paradigm + "/" + pair},
                             {"paradigm", paradigm},
                             {"term", term},
                             {"choices", {std::move(good), std::move(bad)}},
                             {"gold", 0}});
  };
  CARAT_DO(for_each_object(request.files, take));
  return std::string(
      "kind = \"choice\"\n"
      "slice_by = [\"paradigm\", \"term\"]\n"
      "metrics = [\"acc\", \"gold_nll\", \"chance\"]\n");
}

}  // namespace carat
