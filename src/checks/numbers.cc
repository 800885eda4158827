#include "checks/numbers.h"

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace carat {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::vector<WrittenNumber> all() {
    std::vector<WrittenNumber> found;
    while (at_ < text_.size()) {
      const size_t begin = at_;
      if (const auto number = try_number()) {
        found.push_back(*number);
      } else {
        at_ = begin + 1;
        // The rest of a word that digits may not begin in.
        if (is_digit(text_[begin])) skip_digits();
      }
    }
    return found;
  }

 private:
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool take(std::string_view s) {
    if (text_.substr(at_, s.size()) != s) return false;
    at_ += s.size();
    return true;
  }
  void skip_digits() {
    while (is_digit(peek())) ++at_;
  }
  void skip_spaces() {
    while (peek() == ' ') ++at_;
  }

  /// Three digits after one of the separators of thousands, and no fourth.
  bool take_group() {
    const size_t before = at_;
    if (!take(",") && !take("\xc2\xa0") && !take("\xe2\x80\xaf") && !take("\xe2\x80\x89")) return false;
    if (is_digit(peek()) && is_digit(peek(1)) && is_digit(peek(2)) && !is_digit(peek(3))) {
      at_ += 3;
      return true;
    }
    at_ = before;
    return false;
  }

  /// Digits with separators of thousands; the digits alone. A first group of more than three has no
  /// separators.
  std::string take_integer() {
    const size_t begin = at_;
    skip_digits();
    std::string digits(text_.substr(begin, at_ - begin));
    if (digits.empty() || digits.size() > 3) return digits;
    while (take_group()) digits += text_.substr(at_ - 3, 3);
    return digits;
  }

  static double value_of(const std::string& digits) { return std::strtod(digits.c_str(), nullptr); }

  /// {digits} or one digit, as LaTeX writes arguments.
  std::optional<double> take_argument() {
    const bool braces = take("{");
    const size_t begin = at_;
    braces ? skip_digits() : void(at_ += is_digit(peek()));
    if (at_ == begin) return std::nullopt;
    const double value = value_of(std::string(text_.substr(begin, at_ - begin)));
    if (braces && !take("}")) return std::nullopt;
    return value;
  }

  std::optional<double> take_latex_fraction() {
    if (!take("\\frac") && !take("\\dfrac") && !take("\\tfrac")) return std::nullopt;
    const auto above = take_argument();
    const auto below = above ? take_argument() : std::nullopt;
    if (!below || *below == 0) return std::nullopt;
    return *above / *below;
  }

  /// An exponent as in 2e5, 2 x 10^5, 2 * 10^{-5}, 2 \times 10^5; 0 and nothing taken where there is none.
  int64_t take_exponent() {
    const size_t before = at_;
    bool braces = false;
    if (take("e") || take("E")) {
    } else {
      skip_spaces();
      const bool times = take("\xc3\x97") || take("x") || take("*") || take("\\times") || take("\\cdot");
      skip_spaces();
      if (!times || !take("10^")) {
        at_ = before;
        return 0;
      }
      braces = take("{");
    }
    const bool negative = take("-") || take("\xe2\x88\x92");
    if (!negative) take("+");
    const size_t begin = at_;
    skip_digits();
    const std::string digits(text_.substr(begin, at_ - begin));
    if (digits.empty() || digits.size() > 3 || is_letter(peek()) || (braces && !take("}"))) {
      at_ = before;
      return 0;
    }
    const int64_t exponent = std::strtol(digits.c_str(), nullptr, 10);
    return negative ? -exponent : exponent;
  }

  double take_magnitude() {
    if ((peek() == 'k' || peek() == 'K') && !is_letter(peek(1)) && !is_digit(peek(1))) {
      ++at_;
      return 1e3;
    }
    constexpr std::pair<std::string_view, double> words[] = {
        {"thousand", 1e3}, {"million", 1e6}, {"billion", 1e9}, {"trillion", 1e12}};
    const size_t before = at_;
    if (peek() == ' ') ++at_;
    for (const auto& [word, value] : words) {
      if (take(word) && !is_letter(peek())) return value;
    }
    at_ = before;
    return 1;
  }

  bool take_percent() {
    const size_t before = at_;
    if (peek() == ' ') ++at_;
    take("\\");
    if (take("%")) return true;
    if (take("percent") && !is_letter(peek())) return true;
    at_ = before;
    return false;
  }

  /// Whether a minus stands before `begin` (a currency sign may be between) that is a sign.
  bool negative(size_t begin) const {
    static constexpr std::string_view signs[] = {"$", "\xe2\x82\xac", "\xc2\xa3", "\xc2\xa5"};
    std::string_view before = text_.substr(0, begin);
    if (before.ends_with("\\$")) before.remove_suffix(2);
    for (const auto sign : signs) {
      if (before.ends_with(sign)) {
        before.remove_suffix(sign.size());
        break;
      }
    }
    if (before.ends_with("-")) {
      before.remove_suffix(1);
    } else if (before.ends_with("\xe2\x88\x92")) {
      before.remove_suffix(3);
    } else {
      return false;
    }
    const char c = before.empty() ? ' ' : before.back();
    return !is_digit(c) && !is_letter(c) && c != '_' && c != ')' && c != '-' &&
           static_cast<uint8_t>(c) < 0x80;
  }

  /// "/4" after the 3 of 3/4; dates (3/4/25) are no fractions.
  std::optional<double> take_denominator(size_t numerator) {
    const size_t before = at_;
    const bool date_before = numerator > 1 && text_[numerator - 1] == '/' && is_digit(text_[numerator - 2]);
    if (!date_before && take("/") && is_digit(peek())) {
      const size_t begin = at_;
      skip_digits();
      const double below = value_of(std::string(text_.substr(begin, at_ - begin)));
      const bool date = peek() == '/' && is_digit(peek(1));
      const bool decimal = peek() == '.' && is_digit(peek(1));
      if (below != 0 && !date && !decimal) return below;
    }
    at_ = before;
    return std::nullopt;
  }

  std::optional<WrittenNumber> try_number() {
    WrittenNumber n;
    n.begin = at_;
    if (peek() == '\\') {
      const auto fraction = take_latex_fraction();
      if (!fraction) return std::nullopt;
      n.value = *fraction;
    } else {
      const bool point_first = peek() == '.' && is_digit(peek(1));
      if (!is_digit(peek()) && !point_first) return std::nullopt;
      if (at_ > 0 && (is_letter(text_[at_ - 1]) || text_[at_ - 1] == '_')) return std::nullopt;
      std::string digits = take_integer();
      const bool whole = !(peek() == '.' && is_digit(peek(1)));
      if (!whole) {
        const size_t begin = at_++;
        skip_digits();
        digits += text_.substr(begin, at_ - begin);
      }
      n.value = value_of(digits);
      if (const auto below = whole ? take_denominator(n.begin) : std::nullopt) {
        n.value /= *below;
      } else if (!take_mixed(whole, n.value)) {
        if (const int64_t exponent = take_exponent(); exponent != 0) {
          n.value = value_of(digits + "e" + std::to_string(exponent));
        }
        n.value *= take_magnitude();
      }
    }
    n.percent = take_percent();
    n.end = at_;
    if (negative(n.begin)) n.value = -n.value;
    return n;
  }

  /// " 1/2" or "\frac{1}{2}" after the 1 of 1 1/2, where it is less than one.
  bool take_mixed(bool whole, double& value) {
    const size_t before = at_;
    if (whole) {
      if (peek() == ' ') ++at_;
      std::optional<double> part;
      if (peek() == '\\') {
        part = take_latex_fraction();
      } else if (at_ > before && is_digit(peek())) {
        const size_t begin = at_;
        skip_digits();
        const double above = value_of(std::string(text_.substr(begin, at_ - begin)));
        if (const auto below = take_denominator(begin)) part = above / *below;
      }
      if (part && *part < 1) {
        value += *part;
        return true;
      }
    }
    at_ = before;
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::vector<WrittenNumber> find_numbers(std::string_view text) { return Scanner(text).all(); }

}  // namespace carat
