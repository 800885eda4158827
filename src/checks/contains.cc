// contains: which of the needed strings occur in the reply. For needles in long contexts the share counts
// (RULER's string_match_all), where one is enough `any` (string_match_part).
#include "checks/kinds.h"
#include "checks/plain_text.h"
#include "text/utf8.h"

namespace carat {

namespace {

bool word_character_before(std::string_view text, size_t at) {
  if (at == 0) return false;
  do --at;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80);
  return is_word_character(utf8_code_point(text, at, std::max<size_t>(1, utf8_length(text, at))));
}

bool word_character_at(std::string_view text, size_t at) {
  return at < text.size() &&
         is_word_character(utf8_code_point(text, at, std::max<size_t>(1, utf8_length(text, at))));
}

bool occurs(std::string_view text, std::string_view needed, bool whole_words) {
  for (size_t at = text.find(needed); at != std::string_view::npos; at = text.find(needed, at + 1)) {
    const size_t end = at + needed.size();
    if (!whole_words || needed.empty()) return true;
    const bool cut_before = word_character_at(text, at) && word_character_before(text, at);
    const bool cut_after = word_character_before(text, end) && word_character_at(text, end);
    if (!cut_before && !cut_after) return true;
  }
  return false;
}

class Contains final : public Check {
 public:
  Contains(Normalisation normalisation, bool whole_words)
      : normalisation_(normalisation), whole_words_(whole_words) {}

  Status accepts(const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    const auto needed = e.texts("needed");
    if (needed.empty()) e.refuse("needed", "must be a string or some strings");
    for (const std::string& n : needed) {
      if (normalisation_.apply(n).empty()) e.refuse("needed", "holds a string that is empty when normalised");
    }
    return e.finish();
  }

  Result<Verdict> judge(const Context&, const Answer& answer, const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    const std::string given = normalisation_.apply(last_reply(answer));
    const auto needed = e.texts("needed");
    size_t found = 0;
    std::string missing, seen;
    for (const std::string& n : needed) {
      const bool there = occurs(given, normalisation_.apply(n), whole_words_);
      found += there;
      std::string& list = there ? seen : missing;
      if (list.size() < 200) list += (list.empty() ? "'" : ", '") + excerpt(n, 60) + "'";
    }
    Verdict v;
    const double share = needed.empty() ? 0 : static_cast<double>(found) / static_cast<double>(needed.size());
    v.metrics = {{"share", share}, {"all", share == 1 ? 1 : 0}, {"any", found > 0 ? 1 : 0}};
    v.extracted = seen;
    if (share < 1) v.reason = "The reply lacks " + missing + ".";
    return v;
  }

 private:
  Normalisation normalisation_;
  bool whole_words_;
};

}  // namespace

Result<std::unique_ptr<Check>> make_contains(const json::object& settings) {
  Settings s(settings, "check 'contains'");
  const Normalisation normalisation = Normalisation::read(s);
  const bool whole_words = s.flag("whole_words", false);
  CARAT_DO(s.finish());
  return std::make_unique<Contains>(normalisation, whole_words);
}

}  // namespace carat
