// Any bytes as a reply, under every check that runs no code: the verdict has the metrics that its kind
// promises, each from 0 to 1, and text for readers that is valid UTF-8. The helpers that look at a reply's
// shape keep within it.
#include <string_view>

#include "checks/check.h"
#include "checks/text_shape.h"
#include "checks/tool_calls.h"
#include "fuzz/check.h"
#include "text/utf8.h"

namespace {

using namespace carat;

struct Exam {
  const char *check, *settings, *expected;
};
constexpr Exam kExams[] = {
    {"contains", R"({"whole_words": true, "ignore_case": true})", R"({"needed": ["a", "7"]})"},
    {"exact",
     R"({"ignore_case": true, "ignore_punctuation": true, "ignore_articles": true, "first_line": true})",
     R"({"answers": ["the cat", "é"]})"},
    {"instructions", "{}", R"({"instruction_id_list": ["length_constraints:number_sentences",
      "length_constraints:nth_paragraph_first_word", "language:response_language", "change_case:capital_word_frequency",
      "detectable_format:number_highlighted_sections", "detectable_format:title", "startend:end_checker",
      "combination:two_responses", "detectable_content:postscript", "detectable_format:multiple_sections"],
      "kwargs": [{"relation": "at least", "num_sentences": 2}, {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "a"},
      {"language": "en"}, {"capital_relation": "at least", "capital_frequency": 2}, {"num_highlights": 1}, {},
      {"end_phrase": "end"}, {}, {"postscript_marker": "P.S."}, {"section_spliter": "Section", "num_sections": 1}]})"},
    {"letter", "{}", R"({"answer": "B"})"},
    {"numeric", "{}", R"({"answer": 7})"},
    {"regex", R"({"pattern": "(\\w+) is (a+)+$", "group": 1, "take": "last"})", R"({"answer": "a"})"},
    {"schema", "{}", R"({"schema": {"type": "object", "properties": {"a": {"format": "date-time"}}}})"},
    {"tools", "{}", R"({"functions": [{"name": "f", "parameters": {"properties": {"a": {"type": "array",
      "items": {"type": "dict"}}, "b": {"type": "float"}}}}], "ground_truth": [{"f": {"a": [[{"k": [1, ""]}], ""],
      "b": [1.5]}}]})"}};

void check_utf8(std::string_view text) { fuzz::check(valid_utf8_prefix(text, 0) == text.size()); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string reply(reinterpret_cast<const char*>(data), size);
  static ThreadPool pool(1);
  Cancellation cancellation;
  Progress progress;
  const Context context{pool, cancellation, progress};
  for (const Exam& exam : kExams) {
    const CheckKind* kind = find_check_kind(exam.check);
    const auto check = kind->make(parse_json(exam.settings)->get_object());
    const json::value expected = *parse_json(exam.expected);
    fuzz::check(check.ok() && (*check)->accepts(expected.get_object()).ok());
    const auto verdict = (*check)->judge(context, Answer{{reply}, {}, false}, expected.get_object());
    fuzz::check(verdict.ok());
    check_utf8(verdict->extracted);
    check_utf8(verdict->reason);
    if (verdict->kind == Verdict::Kind::unscored) continue;
    fuzz::check(verdict->metrics.size() == kind->metrics.size());
    for (size_t i = 0; i < kind->metrics.size(); ++i) {
      fuzz::check(verdict->metrics[i].first == kind->metrics[i]);
      fuzz::check(verdict->metrics[i].second >= 0 && verdict->metrics[i].second <= 1);
    }
  }
  const ReasonedReply parts = split_reasoning(reply);
  fuzz::check(parts.answer.size() + parts.reasoning.size() <= reply.size());
  looped(reply);
  judge_rating(reply);
  return 0;
}
