// letter: which option of a multiple-choice question a reply chooses. A letter alone proves little ("A" is
// also a word), so it is taken only where it is set off as an answer, in this order: behind the last "answer
// is", "answer:" or \boxed{; at the beginning; the only letter in brackets anywhere.
#include <algorithm>
#include <set>

#include "checks/kinds.h"
#include "checks/plain_text.h"

namespace carat {

namespace {

bool is_word(char c) { return static_cast<uint8_t>(c) >= 0x80 || is_word_character(static_cast<uint8_t>(c)); }

class Letter final : public Check {
 public:
  explicit Letter(std::string letters) : letters_(std::move(letters)) {}

  Status accepts(const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    const std::string wanted = e.text("answer", "");
    if (wanted.size() != 1 || letters_.find(wanted) == std::string::npos) {
      e.refuse("answer", fmt::format("must be one of the letters {}", letters_));
    }
    return e.finish();
  }

  Result<Verdict> judge(const Context&, const Answer& answer, const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    const std::string reply = clean_utf8(last_reply(answer));
    char chosen = behind_mark(reply);
    if (chosen == 0) chosen = letter_at(reply, 0);
    if (chosen == 0) chosen = only_in_brackets(reply);
    Verdict v;
    if (chosen != 0) v.extracted = std::string(1, chosen);
    const bool right = chosen != 0 && v.extracted == e.text("answer", "");
    v.metrics = {{"letter", right ? 1 : 0}, {"found", chosen != 0 ? 1 : 0}};
    if (chosen == 0) {
      v.reason = "The reply names no letter.";
    } else if (!right) {
      v.reason = fmt::format("The reply chooses {}.", chosen);
    }
    return v;
  }

 private:
  /// The letter that stands at `at`, behind spaces, quotes, brackets and asterisks; 0 where none does.
  /// Without brackets or asterisks "A" must not go on as a sentence does ("A dog ...").
  char letter_at(std::string_view text, size_t at) const {
    bool set_off = false;
    while (at < text.size()) {
      if (text.substr(at).starts_with("\\text{") || text.substr(at).starts_with("\\mathrm{")) {
        at = text.find('{', at) + 1;
      } else if (std::string_view(" \t\r\n:\"'`").find(text[at]) != std::string_view::npos) {
        ++at;
      } else if (std::string_view("([{*_").find(text[at]) != std::string_view::npos) {
        set_off = true;
        ++at;
      } else {
        break;
      }
    }
    if (at >= text.size() || letters_.find(text[at]) == std::string::npos) return 0;
    const char next = at + 1 < text.size() ? text[at + 1] : '\0';
    if (next != '\0' && is_word(next)) return 0;
    const bool word = text[at] == 'A' || text[at] == 'I';
    const bool sentence = next == '\'' || (next == ' ' && at + 2 < text.size() && is_word(text[at + 2]));
    return word && sentence && !set_off ? '\0' : text[at];
  }

  char behind_mark(const std::string& reply) const {
    std::string lower = reply;
    for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    size_t behind = 0;
    for (const std::string_view mark : {"answer is", "answer:", "answer:**", "\\boxed{"}) {
      const size_t at = lower.rfind(mark);
      if (at != std::string::npos) behind = std::max(behind, at + mark.size());
    }
    if (behind == 0) return 0;
    for (const std::string_view filler : {" option", " choice", " letter"}) {
      if (std::string_view(lower).substr(behind).starts_with(filler)) behind += filler.size();
    }
    return letter_at(reply, behind);
  }

  char only_in_brackets(std::string_view text) const {
    std::set<char> seen;
    for (size_t i = 1; i + 1 < text.size(); ++i) {
      const char before = text[i - 1], after = text[i + 1];
      const bool brackets = (before == '(' && after == ')') || (before == '[' && after == ']') ||
                            (before == '*' && after == '*');
      if (brackets && letters_.find(text[i]) != std::string::npos) seen.insert(text[i]);
    }
    return seen.size() == 1 ? *seen.begin() : '\0';
  }

  std::string letters_;
};

}  // namespace

Result<std::unique_ptr<Check>> make_letter(const json::object& settings) {
  Settings s(settings, "check 'letter'");
  const std::string letters = s.text("letters", "ABCD");
  const bool capitals =
      std::all_of(letters.begin(), letters.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (letters.size() < 2 || !capitals ||
      std::set<char>(letters.begin(), letters.end()).size() != letters.size()) {
    s.refuse("letters", "must be two or more different capital letters");
  }
  CARAT_DO(s.finish());
  return std::make_unique<Letter>(letters);
}

}  // namespace carat
