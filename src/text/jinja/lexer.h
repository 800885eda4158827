// Tokens of a template. White space control is settled here: trim_blocks and lstrip_blocks are on, as
// Hugging Face's transformers sets jinja2 up, and '-' and '+' next to a delimiter override them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace carat::jinja {

struct Token {
  enum Kind {
    text,
    block_begin,
    block_end,
    output_begin,
    output_end,
    name,
    string,
    integer,
    real,
    symbol,
    end
  };
  Kind kind;
  std::string value;
  int line;
};

std::vector<Token> tokenize_template(std::string_view source);

}  // namespace carat::jinja
