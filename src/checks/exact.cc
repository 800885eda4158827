// exact: the reply is one of the accepted answers, after normalisation. f1 gives credit for shared words, as
// SQuAD's script counts them.
#include <algorithm>
#include <map>

#include "checks/kinds.h"
#include "checks/plain_text.h"

namespace carat {

namespace {

double word_f1(const std::string& reply, const std::string& answer) {
  const auto given = split_words(reply), wanted = split_words(answer);
  if (given.empty() || wanted.empty()) return given.empty() && wanted.empty() ? 1 : 0;
  std::map<std::string_view, int64_t> left;
  for (const auto w : wanted) ++left[w];
  int64_t shared = 0;
  for (const auto w : given) {
    const auto found = left.find(w);
    if (found != left.end() && found->second-- > 0) ++shared;
  }
  return 2.0 * static_cast<double>(shared) / static_cast<double>(given.size() + wanted.size());
}

class Exact final : public Check {
 public:
  Exact(Normalisation normalisation, bool first_line)
      : normalisation_(normalisation), first_line_(first_line) {}

  Status accepts(const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    if (accepted_answers(e).empty()) e.refuse("answer", "must be a string, or 'answers' some strings");
    return e.finish();
  }

  Result<Verdict> judge(const Context&, const Answer& answer, const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    std::string_view reply = last_reply(answer);
    if (first_line_) {
      const size_t begin = std::min(reply.find_first_not_of(" \t\r\n"), reply.size());
      reply = reply.substr(begin, reply.find('\n', begin) - begin);
    }
    const std::string given = normalisation_.apply(reply);
    double exact = 0, f1 = 0;
    for (const std::string& accepted : accepted_answers(e)) {
      const std::string wanted = normalisation_.apply(accepted);
      if (wanted == given) exact = 1;
      f1 = std::max(f1, word_f1(given, wanted));
    }
    Verdict v;
    v.metrics = {{"exact", exact}, {"f1", f1}};
    v.extracted = excerpt(given);
    if (exact == 0) v.reason = "The reply is none of the accepted answers.";
    return v;
  }

 private:
  Normalisation normalisation_;
  bool first_line_;
};

}  // namespace

Result<std::unique_ptr<Check>> make_exact(const json::object& settings) {
  Settings s(settings, "check 'exact'");
  const Normalisation normalisation = Normalisation::read(s);
  const bool first_line = s.flag("first_line", false);
  CARAT_DO(s.finish());
  return std::make_unique<Exact>(normalisation, first_line);
}

}  // namespace carat
