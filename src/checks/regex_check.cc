// regex: what a pattern finds in the reply is right by being there, or by being one of the accepted answers.
#include "checks/kinds.h"
#include "checks/plain_text.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace carat {

namespace {

// A step is tens of nanoseconds, so that a pattern that runs wild ends after about a second.
constexpr uint32_t kSteps = 10'000'000;
constexpr size_t kMatches = 100'000;  // looked through for the last one

class RegexCheck final : public Check {
 public:
  RegexCheck(Regex regex, size_t group, bool last, Normalisation normalisation)
      : regex_(std::move(regex)), group_(group), last_(last), normalisation_(normalisation) {}

  Status accepts(const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    accepted_answers(e);
    return e.finish();
  }

  Result<Verdict> judge(const Context& context, const Answer& answer,
                        const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    const std::string reply = clean_utf8(last_reply(answer));
    Verdict v;
    v.metrics = {{"regex", 0}, {"found", 0}};
    std::optional<std::string> found;
    Regex::Searcher searcher(regex_);
    searcher.limit_steps(kSteps);
    size_t at = 0;
    for (size_t matches = 0; at <= reply.size() && matches < kMatches; ++matches) {
      CARAT_DO(context.check());
      const auto match = searcher.find(reply, at);
      if (!match) {
        v.reason = match.error().message + ".";
        return v;
      }
      if (!*match) break;
      const std::vector<Regex::Span>& spans = **match;
      const Regex::Span span = spans[std::min(group_, spans.size() - 1)];
      if (span.begin <= span.end && span.end <= reply.size())
        found = reply.substr(span.begin, span.end - span.begin);
      if (!last_ && found) break;
      at = spans[0].end;
      if (spans[0].end <= spans[0].begin)
        at += std::max<size_t>(1, utf8_length(reply, std::min(at, reply.size())));
    }
    if (!found) {
      v.reason = "The pattern finds nothing in the reply.";
      return v;
    }
    v.extracted = excerpt(*found);
    v.metrics[1].second = 1;
    const std::vector<std::string> accepted = accepted_answers(e);
    bool right = accepted.empty();
    const std::string given = normalisation_.apply(*found);
    for (const std::string& a : accepted) right = right || normalisation_.apply(a) == given;
    v.metrics[0].second = right ? 1 : 0;
    if (!right) v.reason = "What the pattern finds is none of the accepted answers.";
    return v;
  }

 private:
  Regex regex_;
  size_t group_;
  bool last_;
  Normalisation normalisation_;
};

}  // namespace

Result<std::unique_ptr<Check>> make_regex(const json::object& settings) {
  Settings s(settings, "check 'regex'");
  const Normalisation normalisation = Normalisation::read(s);
  const std::string pattern = s.text("pattern", "");
  const int64_t group = s.integer("group", 0, 0, 99);
  const bool last = s.one_of("take", {"first", "last"}) == "last";
  if (pattern.empty()) s.refuse("pattern", "must be a regular expression");
  CARAT_DO(s.finish());
  if (clean_utf8(pattern) != pattern) return bad_data("check 'regex': 'pattern' is not valid UTF-8");
  auto regex = Regex::compile(pattern);
  if (!regex) return std::move(regex).error().within("check 'regex'");
  if (static_cast<size_t>(group) > regex->groups()) {
    return bad_data("check 'regex': 'group' is {}; the pattern has {}", group, regex->groups());
  }
  return std::make_unique<RegexCheck>(*std::move(regex), static_cast<size_t>(group), last, normalisation);
}

}  // namespace carat
