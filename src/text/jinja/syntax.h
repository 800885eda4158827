// The syntax tree of a template, and the parser that makes it. Nesting is limited while parsing, so that
// walking a tree by recursion is safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace carat::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr star, double_star;  ///< *list and **dict
};

struct Expression {
  enum Kind {
    literal,
    name,
    tuple,
    list,
    dict,       ///< children: key, value, key, value, ...
    attribute,  ///< children[0] . text
    item,       ///< children[0] [children[1]]
    slice,      ///< children[0] [children[1] : children[2] : children[3]], any of the last three null
    call,       ///< children[0] (arguments)
    filter,     ///< children[0] | text(arguments); no child in a filter block's head
    test,       ///< children[0] is text(arguments)
    negative,
    positive,
    logical_not,
    logical_and,
    logical_or,
    arithmetic,   ///< children[0] text children[1]
    concatenate,  ///< children, ~
    compare,      ///< children[0] operators[0] children[1] operators[1] ...
    conditional   ///< children[0] if children[1] else children[2], which may be null
  };
  Kind kind;
  int line = 0;
  int depth = 1;
  std::string text;
  Value value;
  std::vector<ExpressionPtr> children;
  std::vector<std::string> operators;
  CallArguments arguments;
};

struct Statement;
using Block = std::vector<std::unique_ptr<Statement>>;

struct Macro {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExpressionPtr> defaults;  ///< of the last parameters
  Block* body = nullptr;
};

struct Statement {
  enum Kind {
    text,          ///< value
    output,        ///< expressions[0]
    if_,           ///< expressions[i] guards blocks[i]; one block more is else
    for_,          ///< target in expressions[0] if expressions[1] (may be null); blocks: body, else
    set,           ///< target = expressions[0]
    set_block,     ///< target = blocks[0] through the filters of expressions[0] (may be null)
    define_macro,  ///< macro, blocks[0]
    call_block,    ///< macro is the caller, blocks[0] its body, expressions[0] the call
    filter_block,  ///< blocks[0] through expressions[0]
    scoped,        ///< with (target i = expressions[i]) and generation: blocks[0] in a scope of its own
    break_,
    continue_
  };
  Kind kind;
  int line = 0;
  Value value;
  std::vector<ExpressionPtr> expressions;
  std::vector<Block> blocks;
  std::vector<ExpressionPtr> targets;  ///< names, tuples of names, or an attribute of a namespace
  Macro macro;
};

/// Fails with "line N: ..." where the source does not follow the grammar.
Block parse_template(std::string_view source);

}  // namespace carat::jinja
