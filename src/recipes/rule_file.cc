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
#include "containers/toml_table.h"
#include "recipes/recipe.h"

namespace carat {
namespace {

Result<EncodingRule> read_rule(const toml::node& node, const std::string& file) {
  const toml::table* raw = node.as_table();
  if (!raw)
    return bad_data("{}:{}: a rule is a table with 'tensor' and 'encoding'", file, node.source().begin.line);
  TomlTable table(*raw, file, "[[rule]]");
  CARAT_TRY(const auto tensor, table.text("tensor"));
  CARAT_TRY(const auto encoding, table.text("encoding"));
  CARAT_DO(table.finish());
  if (!tensor || !encoding) return table.mistake("", "needs 'tensor' and 'encoding', both strings");
  auto rule = make_rule(*tensor, *encoding);
  if (!rule) return table.mistake("", rule.error().message);
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

/// "# " before every line.
std::string commented(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    out += fmt::format("# {}\n", text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

Result<Recipe> parse_rule_file(std::string_view text, std::string_view source_name) {
  const std::string file(source_name);
  CARAT_TRY(const toml::table parsed, parse_toml(text, file));
  TomlTable root(parsed, file, "a rule file");
  CARAT_TRY(const auto base, root.text("base"));
  const toml::node* rules = root.find("rule");
  CARAT_DO(root.finish());
  if (!base) return bad_data("{}: needs base = \"NAME\", one of {}", file, fmt::join(recipe_names(), " "));
  auto recipe = named_recipe(*base);
  if (!recipe.ok()) return root.mistake("base", recipe.error().message);
  if (!rules) return recipe;
  const toml::array* list = rules->as_array();
  if (!list) return root.mistake("rule", "write rules as [[rule]], with two brackets");
  for (const toml::node& node : *list) {
    CARAT_TRY(EncodingRule rule, read_rule(node, file));
    recipe->rules.push_back(std::move(rule));
  }
  return recipe;
}

std::string format_rule_file(const Recipe& recipe, std::string_view comment,
                             std::span<const std::string> rule_comments) {
  std::string out = commented(comment);
  out += fmt::format("base = \"{}\"\n", recipe.name);
  for (size_t i = 0; i < recipe.rules.size(); ++i) {
    const EncodingRule& r = recipe.rules[i];
    out += "\n";
    if (i < rule_comments.size()) out += commented(rule_comments[i]);
    out += fmt::format("[[rule]]\ntensor = {}\nencoding = \"{}\"\n", quoted(r.tensor), r.encoding->name);
  }
  return out;
}

}  // namespace carat
