// numeric: the number a reply ends with equals the expected one. Where the reply marks its answer ("#### 18",
// "the answer is 18", \boxed{18}), the number behind the last mark counts, otherwise the last number;
// `marked` tells the two apart, because a model that loses the form has not lost its arithmetic.
#include <algorithm>
#include <cmath>

#include "checks/kinds.h"
#include "checks/numbers.h"
#include "checks/plain_text.h"

namespace carat {

namespace {

constexpr double kSmallest = 1e-9;  // what double arithmetic may lose in either number

std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return out;
}

/// Where the text behind the last mark begins; npos where there is none.
size_t behind_last_mark(const std::string& lower, const std::vector<std::string>& marks) {
  size_t behind = std::string::npos;
  for (const std::string& mark : marks) {
    const size_t at = lower.rfind(mark);
    if (at != std::string::npos && (behind == std::string::npos || at + mark.size() > behind)) {
      behind = at + mark.size();
    }
  }
  return behind;
}

/// Behind a mark: the first number, or the one behind the line's last equals sign ("the answer is 5 + 3 =
/// 8").
const WrittenNumber* stated(std::string_view text, const std::vector<WrittenNumber>& numbers, size_t behind) {
  const auto first_from = [&](size_t at) -> const WrittenNumber* {
    const auto i = std::find_if(numbers.begin(), numbers.end(), [&](const auto& n) { return n.begin >= at; });
    return i == numbers.end() ? nullptr : &*i;
  };
  const WrittenNumber* first = first_from(behind);
  if (first == nullptr) return nullptr;
  const size_t line_end = std::min(text.find('\n', first->begin), text.size());
  const size_t equals = text.substr(0, line_end).rfind('=');
  if (equals == std::string_view::npos || equals < behind) return first;
  const WrittenNumber* result = first_from(equals);
  return result != nullptr && result->begin < line_end ? result : first;
}

class Numeric final : public Check {
 public:
  Numeric(double absolute, double relative, std::vector<std::string> marks)
      : absolute_(absolute), relative_(relative), marks_(std::move(marks)) {}

  Status accepts(const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    if (const auto wanted = read(e); !wanted && e.mistakes().ok()) {
      e.refuse("answer", "must be a number, or a string that holds exactly one");
    }
    return e.finish();
  }

  Result<Verdict> judge(const Context&, const Answer& answer, const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    const auto wanted = read(e);
    if (!wanted) return bad_data("what the item expects: 'answer' is no number");
    const std::string_view reply = last_reply(answer);
    const std::vector<WrittenNumber> numbers = find_numbers(reply);
    const size_t behind = behind_last_mark(ascii_lower(reply), marks_);
    const WrittenNumber* given = behind == std::string::npos ? nullptr : stated(reply, numbers, behind);
    const bool marked = given != nullptr;
    if (given == nullptr && !numbers.empty()) given = &numbers.back();
    Verdict v;
    const bool right = given != nullptr && equal(*given, *wanted);
    v.metrics = {{"numeric", right ? 1 : 0}, {"marked", marked ? 1 : 0}};
    if (given == nullptr) {
      v.reason = "The reply holds no number.";
    } else {
      v.extracted = fmt::format("{}{}", given->value, given->percent ? "%" : "");
      if (!right) v.reason = fmt::format("{} is not {}.", v.extracted, wanted->value);
    }
    return v;
  }

 private:
  static std::optional<WrittenNumber> read(Settings& e) {
    if (!e.has("answer")) return std::nullopt;
    // A number or a text; asking for the wrong one would record a mistake that is none.
    Settings as_text = e;
    const std::string text = as_text.text("answer", "");
    if (!as_text.mistakes().ok()) {
      WrittenNumber n;
      n.value = e.number("answer", 0, -1e300, 1e300);
      if (!e.mistakes().ok()) return std::nullopt;
      return n;
    }
    e.text("answer", "");
    const auto numbers = find_numbers(text);
    if (numbers.size() != 1) return std::nullopt;
    return numbers[0];
  }

  bool close(double a, double b) const {
    return std::fabs(a - b) <= std::max({absolute_, relative_ * std::fabs(b), kSmallest * std::fabs(b)});
  }
  /// 40% is 40 as well as 0.4: questions ask for either, and both are written with the sign.
  bool equal(const WrittenNumber& given, const WrittenNumber& wanted) const {
    if (close(given.value, wanted.value)) return true;
    if (given.percent == wanted.percent) return false;
    return given.percent ? close(given.value / 100, wanted.value) : close(given.value, wanted.value / 100);
  }

  double absolute_, relative_;
  std::vector<std::string> marks_;
};

}  // namespace

Result<std::unique_ptr<Check>> make_numeric(const json::object& settings) {
  Settings s(settings, "check 'numeric'");
  const double absolute = s.number("tolerance", 0, 0, 1e300);
  const double relative = s.number("relative_tolerance", 0, 0, 1);
  std::vector<std::string> marks = s.texts("marks");
  if (!s.has("marks")) marks = {"####", "answer is", "answer:", "answer =", "\\boxed{"};
  for (std::string& mark : marks) {
    mark = ascii_lower(mark);
    if (mark.empty()) s.refuse("marks", "holds an empty string");
  }
  CARAT_DO(s.finish());
  return std::make_unique<Numeric>(absolute, relative, std::move(marks));
}

}  // namespace carat
