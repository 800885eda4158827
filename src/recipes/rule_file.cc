// Rule files are TOML:
//
//   base = "Q4_K_M"
//
//   [[rule]]
//   tensor = '^blk\.(0|1)\.'
//   encoding = "Q6_K"
//
// TOML rather than JSON because patterns are full of backslashes, which its '...' strings take as they are,
// and because a file that explains a choice needs comments.
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "recipes/recipe.h"

namespace carat {
namespace {

Error at(std::string_view source_name, const toml::source_region& where, std::string_view what) {
  return bad_data("{}:{}: {}", source_name, where.begin.line, what);
}

Result<EncodingRule> read_rule(const toml::node& node, std::string_view source_name) {
  const toml::table* table = node.as_table();
  if (!table) return at(source_name, node.source(), "a rule is a table with 'tensor' and 'encoding'");
  for (const auto& [key, value] : *table)
    if (key != "tensor" && key != "encoding")
      return at(source_name, value.source(),
                fmt::format("a rule has no key '{}', only 'tensor' and 'encoding'", key.str()));
  const auto tensor = (*table)["tensor"].value<std::string>();
  const auto encoding = (*table)["encoding"].value<std::string>();
  if (!tensor || !encoding)
    return at(source_name, table->source(), "a rule needs 'tensor' and 'encoding', both strings");
  auto rule = make_rule(*tensor, *encoding);
  if (!rule) return at(source_name, table->source(), rule.error().message);
  return rule;
}

/// A TOML string that holds any text: literal where it can be.
std::string quoted(const std::string& text) {
  const bool literal = text.find_first_of("'\n\r") == std::string::npos;
  if (literal) return "'" + text + "'";
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else
      out += c;
  }
  return out + "\"";
}

}  // namespace

Result<Recipe> parse_rule_file(std::string_view text, std::string_view source_name) {
  toml::parse_result parsed = toml::parse(text);
  if (!parsed) return at(source_name, parsed.error().source(), parsed.error().description());
  const toml::table& root = parsed.table();
  for (const auto& [key, value] : root)
    if (key != "base" && key != "rule")
      return at(source_name, value.source(),
                fmt::format("there is no key '{}', only 'base' and [[rule]]", key.str()));
  const auto base = root["base"].value<std::string>();
  if (!base)
    return bad_data("{}: needs base = \"NAME\", one of {}", source_name, fmt::join(recipe_names(), " "));
  auto recipe = named_recipe(*base);
  if (!recipe.ok()) return at(source_name, root["base"].node()->source(), recipe.error().message);
  if (const auto rules = root["rule"]) {
    const toml::array* list = rules.as_array();
    if (!list) return at(source_name, rules.node()->source(), "write rules as [[rule]], with two brackets");
    for (const toml::node& node : *list) {
      CARAT_TRY(EncodingRule rule, read_rule(node, source_name));
      recipe->rules.push_back(std::move(rule));
    }
  }
  return recipe;
}

std::string format_rule_file(const Recipe& recipe) {
  std::string out = fmt::format("base = \"{}\"\n", recipe.name);
  for (const EncodingRule& r : recipe.rules)
    out += fmt::format("\n[[rule]]\ntensor = {}\nencoding = \"{}\"\n", quoted(r.tensor), r.encoding->name);
  return out;
}

}  // namespace carat
