// Statements, after jinja2's grammar (its parser.py defines the language).
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/expression_parser.h"

namespace carat::jinja {
namespace {

class Parser : ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Block parse() {
    Block all = parse_block({});
    if (current().kind != Token::end) error("an end without a beginning");
    return all;
  }

 private:
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

  int loops_ = 0;
};

}  // namespace

Block parse_template(std::string_view source) { return Parser(tokenize_template(source)).parse(); }

}  // namespace carat::jinja
