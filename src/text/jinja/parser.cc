// Recursive descent after jinja2's grammar (its parser.py defines the language): conditional < or < and < not
// < comparison < sum < '~' < product < '**' < sign < postfix < filter and test.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "text/jinja/lexer.h"
#include "text/jinja/syntax.h"

namespace carat::jinja {
namespace {

constexpr int max_depth = 200;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Block parse() {
    Block all = parse_block({});
    if (current().kind != Token::end) error("an end without a beginning");
    return all;
  }

 private:
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
    explicit Nesting(Parser& p) : parser(p) {
      if (++parser.depth_ > max_depth) parser.error("nested too deeply");
    }
    ~Nesting() { --parser.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    Parser& parser;
  };

  // --- expressions ---
  ExpressionPtr make(Expression::Kind kind, std::string text = {}) {
    auto e = std::make_unique<Expression>();
    e->kind = kind;
    e->line = current().line;
    e->text = std::move(text);
    return e;
  }
  void adopt(Expression& parent, ExpressionPtr child) {
    if (child) {
      parent.depth = std::max(parent.depth, child->depth + 1);
      if (parent.depth > 2 * max_depth) error("an expression is too long");
    }
    parent.children.push_back(std::move(child));
  }
  template <class... Children>
  ExpressionPtr node(Expression::Kind kind, std::string text, Children... children) {
    auto e = make(kind, std::move(text));
    (adopt(*e, std::move(children)), ...);
    return e;
  }

  ExpressionPtr parse_expression(bool with_condition = true) {
    const Nesting nesting(*this);
    return with_condition ? parse_conditional() : parse_or();
  }

  ExpressionPtr parse_conditional() {
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
  ExpressionPtr parse_or() {
    auto left = parse_and();
    while (skip_name("or")) left = node(Expression::logical_or, {}, std::move(left), parse_and());
    return left;
  }
  ExpressionPtr parse_and() {
    auto left = parse_not();
    while (skip_name("and")) left = node(Expression::logical_and, {}, std::move(left), parse_not());
    return left;
  }
  ExpressionPtr parse_not() {
    if (is_name("not") && !(ahead().kind == Token::name && ahead().value == "in")) {
      const Nesting nesting(*this);
      next();
      return node(Expression::logical_not, {}, parse_not());
    }
    return parse_compare();
  }
  ExpressionPtr parse_compare() {
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
  ExpressionPtr parse_sum() {
    auto left = parse_concatenation();
    while (is_symbol("+") || is_symbol("-")) {
      std::string op = current().value;
      next();
      left = node(Expression::arithmetic, std::move(op), std::move(left), parse_concatenation());
    }
    return left;
  }
  ExpressionPtr parse_concatenation() {
    auto first = parse_product();
    if (!is_symbol("~")) return first;
    auto all = node(Expression::concatenate, {}, std::move(first));
    while (skip_symbol("~")) adopt(*all, parse_product());
    return all;
  }
  ExpressionPtr parse_product() {
    auto left = parse_power();
    while (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%")) {
      std::string op = current().value;
      next();
      left = node(Expression::arithmetic, std::move(op), std::move(left), parse_power());
    }
    return left;
  }
  ExpressionPtr parse_power() {
    auto left = parse_unary(true);
    while (skip_symbol("**")) left = node(Expression::arithmetic, "**", std::move(left), parse_unary(true));
    return left;
  }
  ExpressionPtr parse_unary(bool with_filter) {
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

  ExpressionPtr parse_primary() {
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
  ExpressionPtr parse_name() {
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
  ExpressionPtr parse_integer() {
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
  bool at_tuple_end() const {
    return current().kind == Token::block_end || current().kind == Token::output_end || is_symbol(")");
  }
  /// A tuple, or the one expression without a comma.
  ExpressionPtr parse_tuple(bool with_condition, bool parentheses) {
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
  ExpressionPtr parse_list() {
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
  ExpressionPtr parse_dict() {
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

  ExpressionPtr parse_postfix(ExpressionPtr e) {
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
  ExpressionPtr parse_call(ExpressionPtr e) {
    auto call = node(Expression::call, {}, std::move(e));
    parse_arguments(*call);
    return call;
  }
  ExpressionPtr parse_subscript(ExpressionPtr e) {
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
  void parse_arguments(Expression& owner) {
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

  ExpressionPtr parse_filters_and_tests(ExpressionPtr e) {
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
  /// '|' filter ('|' filter)*; a null `e` stands for the text of a block.
  ExpressionPtr parse_filters(ExpressionPtr e, bool in_head = false) {
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
  ExpressionPtr parse_test(ExpressionPtr e) {
    next();
    const bool negated = skip_name("not");
    std::string name = take_name();
    while (skip_symbol(".")) name += "." + take_name();
    auto test = node(Expression::test, std::move(name), std::move(e));
    const Token& t = current();
    const bool has_argument =
        t.kind == Token::string || t.kind == Token::integer || t.kind == Token::real || is_symbol("[") ||
        is_symbol("{") ||
        (t.kind == Token::name && t.value != "else" && t.value != "or" && t.value != "and" &&
         t.value != "if" && t.value != "is" && t.value != "in" && t.value != "not");
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

  // --- statements ---
  /// Statements up to one of `ends`, which stays current (past its '{%').
  Block parse_block(const std::vector<std::string_view>& ends) {
    const Nesting nesting(*this);
    Block block;
    for (;;) {
      const Token token = current();
      auto s = std::make_unique<Statement>();
      s->line = token.line;
      if (token.kind == Token::text) {
        s->kind = Statement::text;
        s->value = make_literal(token.value);
        next();
      } else if (token.kind == Token::output_begin) {
        next();
        s->kind = Statement::output;
        s->expressions.push_back(parse_tuple(true, false));
        expect(Token::output_end, "'}}'");
      } else if (token.kind == Token::block_begin) {
        if (ahead().kind == Token::name && std::ranges::find(ends, ahead().value) != ends.end()) {
          next();
          return block;
        }
        next();
        parse_statement(*s);
      } else {
        if (!ends.empty()) error(fmt::format("expected '{}'", ends.back()));
        return block;
      }
      block.push_back(std::move(s));
    }
  }
  void end_tag() { expect(Token::block_end, "'%}'"); }

  void parse_statement(Statement& s) {
    const std::string keyword = take_name();
    if (keyword == "if") return parse_if(s);
    if (keyword == "for") return parse_for(s);
    if (keyword == "set") return parse_set(s);
    if (keyword == "macro") return parse_macro(s);
    if (keyword == "call") return parse_call_block(s);
    if (keyword == "filter") return parse_filter_block(s);
    if (keyword == "with") return parse_with(s);
    if (keyword == "generation") return parse_generation(s);
    if (keyword == "break" || keyword == "continue") {
      if (loops_ == 0) error(fmt::format("'{}' outside a loop", keyword));
      s.kind = keyword == "break" ? Statement::break_ : Statement::continue_;
      return end_tag();
    }
    error(fmt::format("the tag '{}' is unknown", keyword.substr(0, 40)));
  }

  void parse_if(Statement& s) {
    s.kind = Statement::if_;
    for (;;) {
      s.expressions.push_back(parse_tuple(false, false));
      end_tag();
      s.blocks.push_back(parse_block({"elif", "else", "endif"}));
      if (skip_name("elif")) continue;
      if (skip_name("else")) {
        end_tag();
        s.blocks.push_back(parse_block({"endif"}));
      }
      expect_name("endif");
      return end_tag();
    }
  }

  ExpressionPtr parse_target() {
    std::vector<ExpressionPtr> names;
    bool is_tuple = false;
    do {
      if (!names.empty()) is_tuple = true;
      if (names.size() > 0 && (is_name("in") || is_symbol("="))) break;
      if (skip_symbol("(")) {
        const Nesting nesting(*this);
        names.push_back(parse_target());
        expect_symbol(")");
      } else {
        names.push_back(make(Expression::name, take_name()));
      }
    } while (skip_symbol(","));
    if (!is_tuple) return std::move(names[0]);
    auto e = make(Expression::tuple);
    for (auto& n : names) adopt(*e, std::move(n));
    return e;
  }

  void parse_for(Statement& s) {
    s.kind = Statement::for_;
    s.targets.push_back(parse_target());
    expect_name("in");
    s.expressions.push_back(parse_tuple(false, false));
    s.expressions.push_back(skip_name("if") ? parse_expression() : nullptr);
    if (is_name("recursive")) error("recursive loops are not supported");
    end_tag();
    ++loops_;
    s.blocks.push_back(parse_block({"endfor", "else"}));
    --loops_;
    if (skip_name("else")) {
      end_tag();
      s.blocks.push_back(parse_block({"endfor"}));
    }
    expect_name("endfor");
    end_tag();
  }

  void parse_set(Statement& s) {
    if (current().kind == Token::name && ahead().kind == Token::symbol && ahead().value == ".") {
      auto space = make(Expression::name, take_name());
      next();
      s.targets.push_back(node(Expression::attribute, take_name(), std::move(space)));
    } else {
      s.targets.push_back(parse_target());
    }
    if (skip_symbol("=")) {
      s.kind = Statement::set;
      s.expressions.push_back(parse_tuple(true, false));
      return end_tag();
    }
    s.kind = Statement::set_block;
    s.expressions.push_back(is_symbol("|") ? parse_filters(nullptr) : nullptr);
    end_tag();
    s.blocks.push_back(parse_block({"endset"}));
    next();
    end_tag();
  }

  void parse_signature(Macro& m) {
    expect_symbol("(");
    for (bool first = true; !skip_symbol(")"); first = false) {
      if (!first) expect_symbol(",");
      m.parameters.push_back(take_name());
      if (skip_symbol("=")) {
        m.defaults.push_back(parse_expression());
      } else if (!m.defaults.empty()) {
        error("a parameter without a default follows one with a default");
      }
    }
  }
  /// The body of a macro is no part of the loop around it.
  void parse_body(Statement& s, std::string_view end) {
    end_tag();
    const int loops = std::exchange(loops_, 0);
    s.blocks.push_back(parse_block({end}));
    loops_ = loops;
    next();
    end_tag();
    s.macro.body = &s.blocks[0];
  }

  void parse_macro(Statement& s) {
    s.kind = Statement::define_macro;
    s.macro.name = take_name();
    parse_signature(s.macro);
    parse_body(s, "endmacro");
  }
  void parse_call_block(Statement& s) {
    s.kind = Statement::call_block;
    s.macro.name = "caller";
    if (is_symbol("(")) parse_signature(s.macro);
    s.expressions.push_back(parse_expression());
    if (s.expressions[0]->kind != Expression::call) error("expected a call");
    parse_body(s, "endcall");
  }
  void parse_filter_block(Statement& s) {
    s.kind = Statement::filter_block;
    s.expressions.push_back(parse_filters(nullptr, true));
    end_tag();
    s.blocks.push_back(parse_block({"endfilter"}));
    next();
    end_tag();
  }
  void parse_with(Statement& s) {
    s.kind = Statement::scoped;
    while (current().kind != Token::block_end) {
      if (!s.targets.empty()) expect_symbol(",");
      s.targets.push_back(parse_target());
      expect_symbol("=");
      s.expressions.push_back(parse_expression());
    }
    end_tag();
    s.blocks.push_back(parse_block({"endwith"}));
    next();
    end_tag();
  }
  void parse_generation(Statement& s) {
    s.kind = Statement::scoped;
    end_tag();
    s.blocks.push_back(parse_block({"endgeneration"}));
    next();
    end_tag();
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;
};

}  // namespace

Block parse_template(std::string_view source) { return Parser(tokenize_template(source)).parse(); }

}  // namespace carat::jinja
