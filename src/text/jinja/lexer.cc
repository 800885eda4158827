#include "text/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "text/jinja/value.h"
#include "text/utf8.h"

namespace carat::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<uint8_t>(c) >= 0x80;
}

/// Length of the white-space character at `at`, 0 if there is none.
size_t space_length(std::string_view s, size_t at) {
  const size_t n = at < s.size() ? utf8_length(s, at) : 0;
  return n > 0 && is_space(utf8_code_point(s, at, n)) ? n : 0;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) {
    source_.reserve(source.size());
    for (size_t i = 0; i < source.size(); ++i) {
      if (source[i] == '\r') {
        if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
        source_.push_back('\n');
      } else {
        source_.push_back(source[i]);
      }
    }
    if (source_.ends_with('\n')) source_.pop_back();
  }

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t open = next_open();
      if (open == source_.size()) {
        add_text(source_.substr(at_));
        break;
      }
      const char kind = source_[open + 1];
      const char sign = open + 2 < source_.size() ? source_[open + 2] : '\0';
      add_text(text_before(open, kind, sign));
      advance_to(open + 2 + (sign == '-' || sign == '+' ? 1 : 0));
      if (kind == '#') {
        skip_comment();
      } else if (kind == '%' && take_raw_head()) {
        take_raw();
      } else {
        add(kind == '%' ? Token::block_begin : Token::output_begin, {});
        take_code(kind);
      }
    }
    add(Token::end, {});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void error(std::string_view what) { fail(fmt::format("line {}: {}", line_, what)); }
  void add(Token::Kind kind, std::string value) { tokens_.push_back({kind, std::move(value), line_}); }
  void add_text(std::string text) {
    if (!text.empty()) add(Token::text, std::move(text));
  }
  void advance_to(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  bool looking_at(std::string_view s) const { return std::string_view(source_).substr(at_).starts_with(s); }

  size_t next_open() const {
    for (size_t i = source_.find('{', at_); i != std::string::npos; i = source_.find('{', i + 1)) {
      if (i + 1 < source_.size() && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#'))
        return i;
    }
    return source_.size();
  }

  /// The text up to a tag, with what '-' or lstrip_blocks take off its end.
  std::string text_before(size_t open, char kind, char sign) const {
    std::string text = source_.substr(at_, open - at_);
    if (sign == '-') {
      text.resize(trimmed_length(text));
    } else if (sign != '+' && kind != '{') {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == std::string::npos ? 0 : newline + 1;
      if (newline != std::string::npos || line_starting_) {
        if (trimmed_length(std::string_view(text).substr(line_begin)) == 0) text.resize(line_begin);
      }
    }
    return text;
  }

  static size_t trimmed_length(std::string_view text) {
    size_t end = 0;
    for (size_t i = 0; i < text.size();) {
      const size_t n = space_length(text, i);
      i += n > 0 ? n : std::max<size_t>(1, utf8_length(text, i));
      if (n == 0) end = i;
    }
    return end;
  }

  void skip_space() {
    size_t to = at_;
    while (const size_t n = space_length(source_, to)) to += n;
    advance_to(to);
  }

  /// Past a closing delimiter with its sign: '-' eats white space, else a block's end eats one newline.
  void after_close(char sign, bool is_block) {
    const size_t begin = at_;
    if (sign == '-') {
      skip_space();
    } else if (is_block && sign != '+' && at_ < source_.size() && source_[at_] == '\n') {
      advance_to(at_ + 1);
    }
    line_starting_ = at_ > begin && source_[at_ - 1] == '\n';
  }

  void skip_comment() {
    const size_t close = source_.find("#}", at_);
    if (close == std::string::npos) error("a comment is not closed");
    const char sign = close > at_ ? source_[close - 1] : '\0';
    advance_to(close + 2);
    after_close(sign, true);
  }

  bool take_raw_head() {
    size_t i = at_;
    while (const size_t n = space_length(source_, i)) i += n;
    if (source_.compare(i, 3, "raw") != 0) return false;
    i += 3;
    while (const size_t n = space_length(source_, i)) i += n;
    const bool minus = i < source_.size() && source_[i] == '-';
    if (minus) ++i;
    if (source_.compare(i, 2, "%}") != 0) return false;
    advance_to(i + 2);
    if (minus) skip_space();
    line_starting_ = source_[at_ - 1] == '\n';
    return true;
  }

  void take_raw() {
    for (size_t open = source_.find("{%", at_); open != std::string::npos;
         open = source_.find("{%", open + 2)) {
      size_t i = open + 2;
      const char sign = i < source_.size() ? source_[i] : '\0';
      if (sign == '-' || sign == '+') ++i;
      while (const size_t n = space_length(source_, i)) i += n;
      if (source_.compare(i, 6, "endraw") != 0) continue;
      i += 6;
      while (const size_t n = space_length(source_, i)) i += n;
      const char close_sign = i < source_.size() ? source_[i] : '\0';
      if (close_sign == '-' || close_sign == '+') ++i;
      if (source_.compare(i, 2, "%}") != 0) continue;
      add_text(text_before(open, '%', sign));
      advance_to(i + 2);
      after_close(close_sign, true);
      return;
    }
    error("raw is not closed with endraw");
  }

  void take_code(char kind) {
    const std::string_view close = kind == '%' ? "%}" : "}}";
    std::string brackets;
    for (;;) {
      skip_space();
      if (at_ == source_.size())
        error(kind == '%' ? "'{%' is not closed with '%}'" : "'{{' is not closed with '}}'");
      const char c = source_[at_];
      if (brackets.empty()) {
        const bool sign = c == '-' || (c == '+' && kind == '%');
        if (std::string_view(source_).substr(at_ + (sign ? 1 : 0)).starts_with(close)) {
          add(kind == '%' ? Token::block_end : Token::output_end, {});
          advance_to(at_ + (sign ? 3 : 2));
          after_close(sign ? c : '\0', kind == '%');
          return;
        }
      }
      if (c == '\'' || c == '"') {
        take_string(c);
      } else if (is_digit(c)) {
        take_number();
      } else if (is_name_start(c)) {
        size_t end = at_;
        while (end < source_.size() && (is_name_start(source_[end]) || is_digit(source_[end]))) ++end;
        add(Token::name, source_.substr(at_, end - at_));
        at_ = end;
      } else {
        take_symbol(brackets);
      }
    }
  }

  void take_symbol(std::string& brackets) {
    static constexpr std::string_view symbols[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                   "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                   ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (const std::string_view s : symbols) {
      if (!looking_at(s)) continue;
      if (s == "(" || s == "[" || s == "{") {
        brackets.push_back(s[0] == '(' ? ')' : s[0] == '[' ? ']' : '}');
      } else if (s == ")" || s == "]" || s == "}") {
        if (brackets.empty()) error(fmt::format("unexpected '{}'", s));
        if (brackets.back() != s[0]) error(fmt::format("unexpected '{}', expected '{}'", s, brackets.back()));
        brackets.pop_back();
      }
      add(Token::symbol, std::string(s));
      at_ += s.size();
      return;
    }
    error("a character that means nothing here");
  }

  void take_number() {
    size_t end = at_;
    const auto digits = [&](auto&& is) {
      while (end < source_.size() && (is(source_[end]) || (source_[end] == '_' && end + 1 < source_.size() &&
                                                           is(source_[end + 1])))) {
        ++end;
      }
    };
    const char base =
        at_ + 1 < source_.size() && source_[at_] == '0' ? static_cast<char>(source_[at_ + 1] | 0x20) : '\0';
    bool real = false;
    if (base == 'x' || base == 'o' || base == 'b') {
      end += 2;
      digits([&](char c) {
        return base == 'x' ? std::isxdigit(static_cast<unsigned char>(c)) != 0
                           : c >= '0' && c <= (base == 'o' ? '7' : '1');
      });
    } else {
      digits(is_digit);
      if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
        real = true;
        ++end;
        digits(is_digit);
      }
      if (end < source_.size() && (source_[end] | 0x20) == 'e') {
        size_t exponent = end + 1;
        if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
        if (exponent < source_.size() && is_digit(source_[exponent])) {
          real = true;
          end = exponent;
          digits(is_digit);
        }
      }
    }
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    add(real ? Token::real : Token::integer, std::move(text));
    at_ = end;
  }

  void take_string(char quote) {
    std::string out;
    size_t i = at_ + 1;
    for (;; ++i) {
      if (i >= source_.size()) error("a string is not closed");
      if (source_[i] == quote) break;
      if (source_[i] != '\\') {
        out.push_back(source_[i]);
        continue;
      }
      if (++i >= source_.size()) error("a string is not closed");
      i = take_escape(i, out);
    }
    add(Token::string, std::move(out));
    advance_to(i + 1);
  }

  /// Python's escapes; `i` is at the character after the backslash. Returns the last position used.
  size_t take_escape(size_t i, std::string& out) {
    constexpr std::string_view plain = "n\nt\tr\r\\\\''\"\"a\ab\bf\fv\v";
    const char c = source_[i];
    if (c == '\n') return i;
    for (size_t k = 0; k < plain.size(); k += 2) {
      if (plain[k] == c) {
        out.push_back(plain[k + 1]);
        return i;
      }
    }
    const size_t wanted = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t code = 0;
    if (wanted > 0) {
      for (size_t k = 1; k <= wanted; ++k) {
        const char h = i + k < source_.size() ? source_[i + k] : '\0';
        if (!std::isxdigit(static_cast<unsigned char>(h))) error("an escape of a string lacks digits");
        code = code * 16 + static_cast<uint32_t>(is_digit(h) ? h - '0' : (h | 0x20) - 'a' + 10);
      }
      if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        error("an escape of a string is no character");
      append_utf8(code, out);
      return i + wanted;
    }
    if (c >= '0' && c <= '7') {
      size_t k = 0;
      for (; k < 3 && i + k < source_.size() && source_[i + k] >= '0' && source_[i + k] <= '7'; ++k) {
        code = code * 8 + static_cast<uint32_t>(source_[i + k] - '0');
      }
      append_utf8(code, out);
      return i + k - 1;
    }
    out.push_back('\\');
    out.push_back(c);
    return i;
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize_template(std::string_view source) { return Lexer(source).run(); }

}  // namespace carat::jinja
