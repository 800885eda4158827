// Recursive descent after jinja2's grammar (its parser.py defines the language): conditional < or < and < not
// < comparison < sum < '~' < product < '**' < sign < postfix < filter and test.
#pragma once

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/lexer.h"
#include "text/jinja/syntax.h"

namespace carat::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

 protected:
  static constexpr int max_depth = 200;

  // --- tokens ---
  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void next() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  [[noreturn]] void error(std::string_view what) { fail(fmt::format("line {}: {}", current().line, what)); }
  bool is_symbol(std::string_view s) const { return current().kind == Token::symbol && current().value == s; }
  bool is_name(std::string_view s) const { return current().kind == Token::name && current().value == s; }
  bool skip_symbol(std::string_view s) {
    if (!is_symbol(s)) return false;
    next();
    return true;
  }
  bool skip_name(std::string_view s) {
    if (!is_name(s)) return false;
    next();
    return true;
  }
  void expect_symbol(std::string_view s) {
    if (!skip_symbol(s)) error(fmt::format("expected '{}'", s));
  }
  void expect_name(std::string_view s) {
    if (!skip_name(s)) error(fmt::format("expected '{}'", s));
  }
  void expect(Token::Kind kind, std::string_view what) {
    if (current().kind != kind) error(fmt::format("expected {}", what));
    next();
  }
  std::string take_name() {
    if (current().kind != Token::name) error("expected a name");
    std::string name = current().value;
    next();
    return name;
  }

  struct Nesting {
    explicit Nesting(ExpressionParser& p) : parser(p) {
      if (++parser.depth_ > max_depth) parser.error("nested too deeply");
    }
    ~Nesting() { --parser.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    ExpressionParser& parser;
  };

  // --- what statements use ---
  ExpressionPtr make(Expression::Kind kind, std::string text = {});
  void adopt(Expression& parent, ExpressionPtr child);
  ExpressionPtr parse_expression(bool with_condition = true);
  /// A tuple, or the one expression without a comma.
  ExpressionPtr parse_tuple(bool with_condition, bool parentheses);
  /// '|' filter ('|' filter)*; a null `e` stands for the text of a block.
  ExpressionPtr parse_filters(ExpressionPtr e, bool in_head = false);
  template <class... Children>
  ExpressionPtr node(Expression::Kind kind, std::string text, Children... children) {
    auto e = make(kind, std::move(text));
    (adopt(*e, std::move(children)), ...);
    return e;
  }

 private:
  ExpressionPtr parse_conditional();
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_compare();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concatenation();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filter);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_name();
  ExpressionPtr parse_integer();
  bool at_tuple_end() const;
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_postfix(ExpressionPtr e);
  ExpressionPtr parse_call(ExpressionPtr e);
  ExpressionPtr parse_subscript(ExpressionPtr e);
  void parse_arguments(Expression& owner);
  ExpressionPtr parse_filters_and_tests(ExpressionPtr e);
  ExpressionPtr parse_test(ExpressionPtr e);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace carat::jinja
