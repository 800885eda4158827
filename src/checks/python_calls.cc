// The part of Python in which models write calls.
#include <charconv>
#include <cstdint>

#include "checks/tool_calls.h"
#include "text/utf8.h"

namespace carat {

namespace {

constexpr int kMostDepth = 64;

bool is_name_start(char c) { return c == '_' || (c | 32) >= 'a' ? (c == '_' || (c | 32) <= 'z') : false; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::optional<std::vector<ParsedCall>> all() {
    std::vector<ParsedCall> calls;
    skip();
    const bool list = take('[');
    for (skip(); !(list && peek() == ']');) {
      ParsedCall call;
      if (!read_call(call)) return std::nullopt;
      calls.push_back(std::move(call));
      skip();
      if (!take(',')) break;
      skip();
      if (at_end() && !list) break;
    }
    if (list && !take(']')) return std::nullopt;
    skip();
    if (!at_end()) return std::nullopt;
    return calls;
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  bool take(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void skip() {
    while (!at_end() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }

  std::string read_name(bool dots) {
    const size_t begin = at_;
    while (!at_end() && (is_name_start(text_[at_]) || static_cast<uint8_t>(text_[at_]) >= 0x80 ||
                         (at_ > begin && (is_digit(text_[at_]) || (dots && text_[at_] == '.'))))) {
      ++at_;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  bool read_call(ParsedCall& call) {
    call.name = read_name(true);
    if (call.name.empty() || call.name.back() == '.') return false;
    skip();
    return take('(') && read_arguments(call.arguments);
  }

  bool read_arguments(json::object& arguments) {
    if (++depth_ > kMostDepth) return false;
    for (skip(); peek() != ')';) {
      const size_t before = at_;
      std::string name = read_name(false);
      skip();
      const bool named = !name.empty() && peek() == '=' && text_.substr(at_, 2) != "==";
      if (named) {
        ++at_;
        skip();
      } else {
        at_ = before;
      }
      json::value value;
      if (!read_value(value)) return false;
      if (named) arguments.insert_or_assign(name, std::move(value));
      skip();
      if (!take(',')) break;
      skip();
    }
    --depth_;
    return take(')');
  }

  /// A literal that ends where an expression may; otherwise the text of the expression.
  bool read_value(json::value& out) {
    const size_t begin = at_;
    if (read_literal(out)) {
      const size_t end = at_;
      skip();
      if (at_end() || std::string_view(",)]}:").find(peek()) != std::string_view::npos) {
        at_ = end;
        return true;
      }
    }
    at_ = begin;
    return read_expression(out);
  }

  bool read_literal(json::value& out) {
    const char c = peek();
    if (c == '"' || c == '\'') return read_strings(out);
    if (c == '[') return read_list(out, ']');
    if (c == '(') return read_list(out, ')');
    if (c == '{') return read_dictionary(out);
    if (is_digit(c) || c == '.' || c == '-' || c == '+') return read_number(out);
    const size_t before = at_;
    const std::string name = read_name(true);
    if ((name == "r" || name == "b" || name == "f" || name == "u") && (peek() == '"' || peek() == '\'')) {
      raw_ = name == "r";
      const bool read = read_strings(out);
      raw_ = false;
      return read;
    }
    if (name.empty() || name.back() == '.' || peek() == '(') {
      at_ = before;
      return false;
    }
    if (name == "True" || name == "true") {
      out = true;
    } else if (name == "False" || name == "false") {
      out = false;
    } else if (name == "None" || name == "null") {
      out = nullptr;
    } else {
      out = json::string(name);
    }
    return true;
  }

  /// Strings that stand side by side are one.
  bool read_strings(json::value& out) {
    std::string text;
    while (peek() == '"' || peek() == '\'') {
      if (!read_string(text)) return false;
      const size_t end = at_;
      skip();
      if (peek() != '"' && peek() != '\'') at_ = end;
    }
    out = json::string(text);
    return true;
  }

  bool read_string(std::string& out) {
    const char quote = text_[at_];
    const bool triple = text_.substr(at_, 3) == std::string(3, quote);
    at_ += triple ? 3 : 1;
    while (!at_end()) {
      const char c = text_[at_];
      if (c == quote && (!triple || text_.substr(at_, 3) == std::string(3, quote))) {
        at_ += triple ? 3 : 1;
        return true;
      }
      if (c == '\n' && !triple) return false;
      ++at_;
      if (c != '\\' || raw_) {
        out.push_back(c);
      } else if (!read_escape(out)) {
        return false;
      }
    }
    return false;
  }

  bool read_escape(std::string& out) {
    if (at_end()) return false;
    const char c = text_[at_++];
    const auto hex = [&](size_t digits) {
      uint32_t value = 0;
      const std::string_view code = text_.substr(at_, digits);
      const auto [end, error] = std::from_chars(code.data(), code.data() + code.size(), value, 16);
      if (error != std::errc() || code.size() != digits || end != code.data() + digits) return false;
      if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return false;
      at_ += digits;
      append_utf8(value, out);
      return true;
    };
    switch (c) {
      case 'n':
        out.push_back('\n');
        return true;
      case 't':
        out.push_back('\t');
        return true;
      case 'r':
        out.push_back('\r');
        return true;
      case '0':
        out.push_back('\0');
        return true;
      case '\n':
        return true;
      case '\\':
      case '\'':
      case '"':
        out.push_back(c);
        return true;
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      default:
        out.push_back('\\');
        out.push_back(c);
        return true;
    }
  }

  bool read_number(json::value& out) {
    std::string digits;
    const bool negative = peek() == '-';
    if (negative || peek() == '+') ++at_;
    bool whole = true;
    for (; !at_end(); ++at_) {
      const char c = text_[at_];
      const bool exponent_sign = (c == '-' || c == '+') && !digits.empty() && (digits.back() | 32) == 'e';
      if (c == '_') continue;
      if (!is_digit(c) && c != '.' && (c | 32) != 'e' && !exponent_sign) break;
      whole = whole && is_digit(c);
      digits.push_back(c);
    }
    if (digits.empty()) return false;
    if (negative) digits.insert(digits.begin(), '-');
    const char *begin = digits.data(), *end = begin + digits.size();
    if (int64_t integer = 0; whole) {
      const auto [stop, error] = std::from_chars(begin, end, integer);
      if (error == std::errc() && stop == end) {
        out = integer;
        return true;
      }
    }
    double number = 0;
    const auto [stop, error] = std::from_chars(begin, end, number);
    if (error != std::errc() || stop != end) return false;
    out = number;
    return true;
  }

  bool read_list(json::value& out, char close) {
    if (++depth_ > kMostDepth) return false;
    ++at_;
    json::array items;
    bool comma = false;
    for (skip(); peek() != close;) {
      json::value item;
      if (!read_value(item)) return false;
      items.push_back(std::move(item));
      skip();
      if (!take(',')) break;
      comma = true;
      skip();
    }
    --depth_;
    if (!take(close)) return false;
    // (x) is x; (x,) and () are tuples.
    if (close == ')' && items.size() == 1 && !comma) {
      json::value only = std::move(items[0]);
      out = std::move(only);
    } else {
      out = std::move(items);
    }
    return true;
  }

  bool read_dictionary(json::value& out) {
    if (++depth_ > kMostDepth) return false;
    ++at_;
    json::object members;
    for (skip(); peek() != '}';) {
      json::value key, value;
      if (!read_value(key)) return false;
      skip();
      if (!take(':')) return false;
      skip();
      if (!read_value(value)) return false;
      members.insert_or_assign(key.is_string() ? std::string(key.get_string()) : json::serialize(key),
                               std::move(value));
      skip();
      if (!take(',')) break;
      skip();
    }
    --depth_;
    out = std::move(members);
    return take('}');
  }

  /// To the comma or bracket that ends it, over balanced brackets and strings.
  bool read_expression(json::value& out) {
    // A failed literal is read once more from its beginning; inside brackets inside brackets that would
    // double.
    if (++expressions_ > kMostDepth) return false;
    const size_t begin = at_;
    std::string open;
    while (!at_end()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        std::string ignored;
        if (!read_string(ignored)) return false;
        continue;
      }
      if (c == '(' || c == '[' || c == '{') open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
      if (c == ')' || c == ']' || c == '}') {
        if (open.empty()) break;
        if (open.back() != c) return false;
        open.pop_back();
      }
      if (open.empty() && (c == ',' || c == ':')) break;
      ++at_;
    }
    std::string_view source = text_.substr(begin, at_ - begin);
    while (!source.empty() && std::string_view(" \t\r\n").find(source.back()) != std::string_view::npos) {
      source.remove_suffix(1);
    }
    out = json::string(source);
    return !source.empty() && open.empty();
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0, expressions_ = 0;
  bool raw_ = false;
};

}  // namespace

std::optional<std::vector<ParsedCall>> calls_of_python(std::string_view text) { return Parser(text).all(); }

}  // namespace carat
