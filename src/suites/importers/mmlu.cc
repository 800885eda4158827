// MMLU. lm-evaluation-harness: mmlu (default template, five examples of the same subject, in their order).
// Rows are question, four choices and the answer as a letter (hendrycks/test) or number; the header that some
// copies have is left out. The subject is the name of the file.
#include <algorithm>

#include "containers/quote.h"
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

namespace {

Result<json::object> read_row(const std::string& place, const std::string& subject,
                              const std::vector<std::string>& row) {
  if (row.size() != 6) return bad_data("{}: {} fields, where a question has 6", place, row.size());
  const std::string& answer = row[5];
  const size_t number = answer.size() == 1 ? std::string_view("ABCD0123").find(answer[0]) : std::string::npos;
  if (number == std::string::npos)
    return bad_data("{}: the answer is {}, no letter of A to D", place, quote(answer));
  return json::object{{"subject", subject},
                      {"question", stripped(row[0])},
                      {"options", json::array(row.begin() + 1, row.begin() + 5)},
                      {"answer", std::string(1, "ABCD"[number % 4])}};
}

}  // namespace

Result<std::string> read_mmlu(const ImportRequest& request, ImportSink& sink) {
  bool examples = false;
  for (const std::string& path : request.files) {
    std::string subject = stem_of(path);
    const size_t split = subject.rfind('_');
    const std::string role = split == std::string::npos ? "" : subject.substr(split + 1);
    if (role == "dev" || role == "test" || role == "val") subject.resize(split);
    examples |= role == "dev";
    const auto take = [&](const std::string& place, std::vector<std::string>&& row) -> Status {
      if (row[0] == "question") return {};
      CARAT_TRY(json::object fields, read_row(place, subject, row));
      return role == "dev" ? sink.example(std::move(fields)) : sink.item(place, std::move(fields));
    };
    CARAT_DO(for_each_row(path, take));
  }
  std::string settings =
      "kind = \"choice\"\n"
      "slice_by = \"subject\"\n"
      "preamble = \"The following are multiple choice questions (with answers) about "
      "{{ subject | replace('_', ' ') }}.\\n\\n\"\n"
      "context = \"{{ question }}\\nA. {{ options[0] }}\\nB. {{ options[1] }}\\nC. {{ options[2] }}\\n"
      "D. {{ options[3] }}\\nAnswer:\"\n"
      "choices = [\"A\", \"B\", \"C\", \"D\"]\n"
      "metrics = [\"acc\", \"gold_nll\", \"chance\"]\n";
  if (examples)
    settings +=
        fmt::format("few_shot = {{items = \"{}\", count = 5, match = \"subject\"}}\n", sink.examples_file());
  return settings;
}

}  // namespace carat
