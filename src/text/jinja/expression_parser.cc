#include "text/jinja/expression_parser.h"

#include <charconv>

namespace carat::jinja {

ExpressionPtr ExpressionParser::make(Expression::Kind kind, std::string text) {
  auto e = std::make_unique<Expression>();
  e->kind = kind;
  e->line = current().line;
  e->text = std::move(text);
  return e;
}

void ExpressionParser::adopt(Expression& parent, ExpressionPtr child) {
  if (child) {
    parent.depth = std::max(parent.depth, child->depth + 1);
    if (parent.depth > 2 * max_depth) error("an expression is too long");
  }
  parent.children.push_back(std::move(child));
}

ExpressionPtr ExpressionParser::parse_expression(bool with_condition) {
  const Nesting nesting(*this);
  return with_condition ? parse_conditional() : parse_or();
}

ExpressionPtr ExpressionParser::parse_conditional() {
  auto value = parse_or();
  while (skip_name("if")) {
    auto condition = parse_or();
    ExpressionPtr otherwise;
    if (skip_name("else")) {
      const Nesting nesting(*this);
      otherwise = parse_conditional();
    }
    value = node(Expression::conditional, {}, std::move(value), std::move(condition), std::move(otherwise));
  }
  return value;
}

ExpressionPtr ExpressionParser::parse_or() {
  auto left = parse_and();
  while (skip_name("or")) left = node(Expression::logical_or, {}, std::move(left), parse_and());
  return left;
}

ExpressionPtr ExpressionParser::parse_and() {
  auto left = parse_not();
  while (skip_name("and")) left = node(Expression::logical_and, {}, std::move(left), parse_not());
  return left;
}

ExpressionPtr ExpressionParser::parse_not() {
  if (is_name("not") && !(ahead().kind == Token::name && ahead().value == "in")) {
    const Nesting nesting(*this);
    next();
    return node(Expression::logical_not, {}, parse_not());
  }
  return parse_compare();
}

ExpressionPtr ExpressionParser::parse_compare() {
  auto first = parse_sum();
  ExpressionPtr chain;
  for (;;) {
    std::string op;
    for (const std::string_view s : {"==", "!=", "<", "<=", ">", ">="}) {
      if (is_symbol(s)) op = s;
    }
    if (!op.empty()) {
      next();
    } else if (skip_name("in")) {
      op = "in";
    } else if (is_name("not") && ahead().kind == Token::name && ahead().value == "in") {
      next(), next();
      op = "not in";
    } else {
      break;
    }
    if (!chain) chain = node(Expression::compare, {}, std::move(first));
    chain->operators.push_back(std::move(op));
    adopt(*chain, parse_sum());
  }
  return chain ? std::move(chain) : std::move(first);
}

ExpressionPtr ExpressionParser::parse_sum() {
  auto left = parse_concatenation();
  while (is_symbol("+") || is_symbol("-")) {
    std::string op = current().value;
    next();
    left = node(Expression::arithmetic, std::move(op), std::move(left), parse_concatenation());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_concatenation() {
  auto first = parse_product();
  if (!is_symbol("~")) return first;
  auto all = node(Expression::concatenate, {}, std::move(first));
  while (skip_symbol("~")) adopt(*all, parse_product());
  return all;
}

ExpressionPtr ExpressionParser::parse_product() {
  auto left = parse_power();
  while (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%")) {
    std::string op = current().value;
    next();
    left = node(Expression::arithmetic, std::move(op), std::move(left), parse_power());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_power() {
  auto left = parse_unary(true);
  while (skip_symbol("**")) left = node(Expression::arithmetic, "**", std::move(left), parse_unary(true));
  return left;
}

ExpressionPtr ExpressionParser::parse_unary(bool with_filter) {
  ExpressionPtr e;
  if (is_symbol("-") || is_symbol("+")) {
    const Nesting nesting(*this);
    const auto kind = is_symbol("-") ? Expression::negative : Expression::positive;
    next();
    e = node(kind, {}, parse_unary(false));
  } else {
    e = parse_primary();
  }
  e = parse_postfix(std::move(e));
  return with_filter ? parse_filters_and_tests(std::move(e)) : std::move(e);
}

ExpressionPtr ExpressionParser::parse_primary() {
  const Token token = current();
  switch (token.kind) {
    case Token::name:
      return parse_name();
    case Token::string: {
      std::string text;
      for (; current().kind == Token::string; next()) text += current().value;
      auto e = make(Expression::literal);
      e->value = make_literal(std::move(text));
      return e;
    }
    case Token::integer:
      return parse_integer();
    case Token::real: {
      auto e = make(Expression::literal);
      double d = 0;
      std::from_chars(token.value.data(), token.value.data() + token.value.size(), d);
      e->value = d;
      next();
      return e;
    }
    default:
      break;
  }
  if (skip_symbol("(")) {
    auto e = parse_tuple(true, true);
    expect_symbol(")");
    return e;
  }
  if (skip_symbol("[")) return parse_list();
  if (skip_symbol("{")) return parse_dict();
  error("expected an expression");
}

ExpressionPtr ExpressionParser::parse_name() {
  const std::string name = take_name();
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    auto e = make(Expression::literal);
    e->value = name == "true" || name == "True";
    return e;
  }
  if (name == "none" || name == "None") {
    auto e = make(Expression::literal);
    e->value = None{};
    return e;
  }
  return make(Expression::name, name);
}

ExpressionPtr ExpressionParser::parse_integer() {
  std::string_view digits = current().value;
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0' && !(digits[1] >= '0' && digits[1] <= '9')) {
    base = (digits[1] | 0x20) == 'x' ? 16 : (digits[1] | 0x20) == 'o' ? 8 : 2;
    digits.remove_prefix(2);
  }
  int64_t value = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (code != std::errc{} || end != digits.data() + digits.size()) error("an integer does not fit 64 bits");
  auto e = make(Expression::literal);
  e->value = value;
  next();
  return e;
}

bool ExpressionParser::at_tuple_end() const {
  return current().kind == Token::block_end || current().kind == Token::output_end || is_symbol(")");
}

ExpressionPtr ExpressionParser::parse_tuple(bool with_condition, bool parentheses) {
  std::vector<ExpressionPtr> items;
  bool is_tuple = false;
  for (;;) {
    if (!items.empty()) {
      if (!skip_symbol(",")) break;
      is_tuple = true;
    }
    if (at_tuple_end() || is_name("recursive")) break;
    items.push_back(parse_expression(with_condition));
  }
  if (!is_tuple && !items.empty()) return std::move(items[0]);
  if (items.empty() && !parentheses) error("expected an expression");
  auto e = make(Expression::tuple);
  for (auto& item : items) adopt(*e, std::move(item));
  return e;
}

ExpressionPtr ExpressionParser::parse_list() {
  auto e = make(Expression::list);
  while (!skip_symbol("]")) {
    if (!e->children.empty()) {
      expect_symbol(",");
      if (skip_symbol("]")) break;
    }
    adopt(*e, parse_expression());
  }
  return e;
}

ExpressionPtr ExpressionParser::parse_dict() {
  auto e = make(Expression::dict);
  while (!skip_symbol("}")) {
    if (!e->children.empty()) {
      expect_symbol(",");
      if (skip_symbol("}")) break;
    }
    adopt(*e, parse_expression());
    expect_symbol(":");
    adopt(*e, parse_expression());
  }
  return e;
}

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr e) {
  for (;;) {
    if (skip_symbol(".")) {
      if (current().kind == Token::integer) {
        e = node(Expression::item, {}, std::move(e), parse_integer());
      } else {
        e = node(Expression::attribute, take_name(), std::move(e));
      }
    } else if (skip_symbol("[")) {
      e = parse_subscript(std::move(e));
    } else if (is_symbol("(")) {
      e = parse_call(std::move(e));
    } else {
      return e;
    }
  }
}

ExpressionPtr ExpressionParser::parse_call(ExpressionPtr e) {
  auto call = node(Expression::call, {}, std::move(e));
  parse_arguments(*call);
  return call;
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr e) {
  ExpressionPtr begin, end, step;
  bool slice = false;
  if (!is_symbol(":")) begin = parse_expression();
  if (skip_symbol(":")) {
    slice = true;
    if (!is_symbol(":") && !is_symbol("]")) end = parse_expression();
    if (skip_symbol(":") && !is_symbol("]")) step = parse_expression();
  }
  expect_symbol("]");
  if (!slice) return node(Expression::item, {}, std::move(e), std::move(begin));
  return node(Expression::slice, {}, std::move(e), std::move(begin), std::move(end), std::move(step));
}

void ExpressionParser::parse_arguments(Expression& owner) {
  expect_symbol("(");
  CallArguments& args = owner.arguments;
  const auto deepen = [&](const ExpressionPtr& e) {
    owner.depth = std::max(owner.depth, e->depth + 1);
    if (owner.depth > 2 * max_depth) error("an expression is too long");
  };
  for (bool first = true; !skip_symbol(")"); first = false) {
    if (!first) {
      expect_symbol(",");
      if (skip_symbol(")")) return;
    }
    if (skip_symbol("*")) {
      deepen(args.star = parse_expression());
    } else if (skip_symbol("**")) {
      deepen(args.double_star = parse_expression());
    } else if (current().kind == Token::name && ahead().kind == Token::symbol && ahead().value == "=") {
      std::string name = take_name();
      next();
      args.named.emplace_back(std::move(name), parse_expression());
      deepen(args.named.back().second);
    } else {
      if (!args.named.empty()) error("an argument without a name follows one with a name");
      args.positional.push_back(parse_expression());
      deepen(args.positional.back());
    }
  }
}

ExpressionPtr ExpressionParser::parse_filters_and_tests(ExpressionPtr e) {
  for (;;) {
    if (is_symbol("|")) {
      e = parse_filters(std::move(e));
    } else if (is_name("is")) {
      e = parse_test(std::move(e));
    } else if (is_symbol("(")) {
      e = parse_call(std::move(e));
    } else {
      return e;
    }
  }
}

ExpressionPtr ExpressionParser::parse_filters(ExpressionPtr e, bool in_head) {
  while (in_head || skip_symbol("|")) {
    in_head = false;
    std::string name = take_name();
    while (skip_symbol(".")) name += "." + take_name();
    auto filter = make(Expression::filter, std::move(name));
    adopt(*filter, std::move(e));
    if (is_symbol("(")) parse_arguments(*filter);
    e = std::move(filter);
  }
  return e;
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr e) {
  next();
  const bool negated = skip_name("not");
  std::string name = take_name();
  while (skip_symbol(".")) name += "." + take_name();
  auto test = node(Expression::test, std::move(name), std::move(e));
  const Token& t = current();
  const bool has_argument =
      t.kind == Token::string || t.kind == Token::integer || t.kind == Token::real || is_symbol("[") ||
      is_symbol("{") ||
      (t.kind == Token::name && t.value != "else" && t.value != "or" && t.value != "and" && t.value != "if" &&
       t.value != "is" && t.value != "in" && t.value != "not");
  if (is_symbol("(")) {
    parse_arguments(*test);
  } else if (has_argument) {
    auto argument = parse_postfix(parse_primary());
    test->depth = std::max(test->depth, argument->depth + 1);
    test->arguments.positional.push_back(std::move(argument));
  }
  if (!negated) return test;
  return node(Expression::logical_not, {}, std::move(test));
}

}  // namespace carat::jinja
