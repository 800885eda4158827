#include "containers/toml_table.h"

#include <sstream>

#include "containers/mapped_file.h"
#include "containers/quote.h"

namespace carat {

namespace {

constexpr uint64_t kLargestFile = 4 << 20;
constexpr int kDeepest = 32;

/// Of a bare or quoted name, or the bracket that closes an empty one.
bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-\"']").find(c) != std::string_view::npos;
}

/// What the parser does not survive, looked for outside strings and comments:
///  - names that are long chains, as in a.b.c = 1. Each dot makes a table within a table, whose number it
///  does
///    not limit and which the destructor of its tree follows by recursion;
///  - brackets that close others, as in [};
///  - characters beyond ASCII, some of which it takes for impossible;
///  - a header whose name begins with no character of a name, as in [!], which it takes for impossible.
/// What looks like one of these to this and is none, is no TOML either.
Status check_names(std::string_view text, const std::string& name) {
  int chain = 0;
  std::string open;  // brackets
  int64_t line = 1;
  bool begins_line = true;
  for (size_t i = text.starts_with("\xef\xbb\xbf") ? 3 : 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size()) - 1;
      continue;
    }
    if (c == '"' || c == '\'') {
      const std::string_view three = c == '"' ? "\"\"\"" : "'''";
      const bool long_string = text.substr(i).starts_with(three);
      i += long_string ? 3 : 1;
      for (; i < text.size(); ++i) {
        line += text[i] == '\n';
        if (c == '"' && text[i] == '\\') {
          ++i;
        } else if (long_string ? text.substr(i).starts_with(three) : text[i] == c || text[i] == '\n') {
          i += long_string ? 2 : 0;
          break;
        }
      }
    } else if (static_cast<uint8_t>(c) >= 0x7f ||
               (c >= 0 && c < ' ' && c != '\n' && c != '\r' && c != '\t')) {
      return bad_data("{}:{}: a character that TOML allows in strings and comments only", name, line);
    } else if (c == '.') {
      if (++chain > kDeepest) return bad_data("{}:{}: a key of more than {} names", name, line, kDeepest);
    } else if (std::string_view("\n=,[]{}").find(c) != std::string_view::npos) {
      chain = 0;
    }
    if (c == '[' && begins_line && open.empty()) {
      const bool two = text.substr(i).starts_with("[[");
      const size_t first = std::min(text.find_first_not_of(" \t", i + (two ? 2 : 1)), text.size());
      if (first < text.size() && !is_name_character(text[first]))
        return bad_data("{}:{}: the name of a table begins with {}", name, line,
                        quote(text.substr(first, 1)));
    }
    if (c == '[' || c == '{') open += c;
    if (c == ']' || c == '}') {
      if (open.empty() || open.back() != (c == ']' ? '[' : '{'))
        return bad_data("{}:{}: a bracket {} that closes none", name, line, c);
      open.pop_back();
    }
    line += c == '\n';
    begins_line = c == '\n' || (begins_line && (c == ' ' || c == '\t'));
  }
  return {};
}

int depth_of(const toml::node& node, int depth = 1) {
  int deepest = depth;
  if (depth > 2 * kDeepest) return depth;
  if (const auto* t = node.as_table())
    for (const auto& [key, value] : *t) deepest = std::max(deepest, depth_of(value, depth + 1));
  if (const auto* a = node.as_array())
    for (const auto& value : *a) deepest = std::max(deepest, depth_of(value, depth + 1));
  return deepest;
}

}  // namespace

Result<toml::table> parse_toml(std::string_view text, const std::string& name) {
  CARAT_DO(check_names(text, name));
  toml::parse_result parsed = toml::parse(text);
  if (!parsed)
    return bad_data("{}:{}: {}", name, parsed.error().source().begin.line, parsed.error().description());
  if (depth_of(parsed.table()) > kDeepest) return bad_data("{}: nests more than {} levels", name, kDeepest);
  return std::move(parsed).table();
}

Result<toml::table> read_toml(const std::string& path) {
  CARAT_TRY(const std::string text, read_small_file(path, kLargestFile));
  return parse_toml(text, path);
}

int64_t TomlTable::line(std::string_view key) const {
  const toml::node* node = key.empty() ? nullptr : table_->get(key);
  return (node ? node->source() : table_->source()).begin.line;
}

Error TomlTable::mistake(std::string_view key, std::string_view sentence) const {
  return bad_data("{}:{}: {}: {}", file_, line(key), what_, sentence);
}

Error TomlTable::wrong_type(std::string_view key, std::string_view wanted) const {
  return mistake(key, fmt::format("'{}' must be {}", key, wanted));
}

const toml::node* TomlTable::find(std::string_view key) {
  asked_.emplace(key);
  return table_->get(key);
}

Result<std::optional<std::string>> TomlTable::text(std::string_view key) {
  const toml::node* node = find(key);
  if (!node) return std::optional<std::string>();
  if (!node->is_string()) return wrong_type(key, "a string");
  return node->value<std::string>();
}

Result<std::string> TomlTable::needed_text(std::string_view key) {
  CARAT_TRY(auto value, text(key));
  if (!value || value->empty())
    return mistake(key, fmt::format("needs '{}', a string that is not empty", key));
  return *std::move(value);
}

Result<std::optional<int64_t>> TomlTable::integer(std::string_view key, int64_t low, int64_t high) {
  const toml::node* node = find(key);
  if (!node) return std::optional<int64_t>();
  const auto value = node->is_integer() ? node->value<int64_t>() : std::nullopt;
  if (!value || *value < low || *value > high)
    return wrong_type(key, fmt::format("a whole number from {} to {}", low, high));
  return value;
}

Result<std::optional<double>> TomlTable::number(std::string_view key, double low, double high) {
  const toml::node* node = find(key);
  if (!node) return std::optional<double>();
  const auto value = node->is_number() ? node->value<double>() : std::nullopt;
  if (!value || !(*value >= low && *value <= high))
    return wrong_type(key, fmt::format("a number from {} to {}", low, high));
  return value;
}

Result<std::optional<bool>> TomlTable::flag(std::string_view key) {
  const toml::node* node = find(key);
  if (!node) return std::optional<bool>();
  if (!node->is_boolean()) return wrong_type(key, "true or false");
  return node->value<bool>();
}

Result<std::vector<std::string>> TomlTable::texts(std::string_view key) {
  const toml::node* node = find(key);
  std::vector<std::string> out;
  if (!node) return out;
  if (node->is_string()) {
    out.push_back(*node->value<std::string>());
    return out;
  }
  const toml::array* array = node->as_array();
  if (!array) return wrong_type(key, "a string or an array of strings");
  for (const toml::node& item : *array) {
    if (!item.is_string()) return wrong_type(key, "a string or an array of strings");
    out.push_back(*item.value<std::string>());
  }
  return out;
}

Result<std::vector<int64_t>> TomlTable::integers(std::string_view key, int64_t low, int64_t high) {
  const std::string wanted = fmt::format("an array of whole numbers from {} to {}", low, high);
  const toml::node* node = find(key);
  std::vector<int64_t> out;
  if (!node) return out;
  const toml::array* array = node->as_array();
  if (!array) return wrong_type(key, wanted);
  for (const toml::node& item : *array) {
    const auto value = item.is_integer() ? item.value<int64_t>() : std::nullopt;
    if (!value || *value < low || *value > high) return wrong_type(key, wanted);
    out.push_back(*value);
  }
  return out;
}

Result<std::optional<TomlTable>> TomlTable::table(std::string_view key) {
  const toml::node* node = find(key);
  if (!node) return std::optional<TomlTable>();
  const toml::table* inner = node->as_table();
  if (!inner) return wrong_type(key, "a table");
  return std::optional<TomlTable>(TomlTable(*inner, file_, fmt::format("{}, '{}'", what_, key)));
}

Status TomlTable::finish() const {
  for (const auto& [key, value] : *table_)
    if (!asked_.contains(key.str()))
      return mistake(key.str(),
                     fmt::format("there is no key {}, only {}", quote(key.str()), fmt::join(asked_, ", ")));
  return {};
}

Result<json::value> json_of_toml(const toml::node& node) {
  if (const auto* t = node.as_table()) {
    json::object out;
    for (const auto& [key, value] : *t) {
      CARAT_TRY(out[std::string(key.str())], json_of_toml(value));
    }
    return json::value(std::move(out));
  }
  if (const auto* a = node.as_array()) {
    json::array out;
    for (const toml::node& item : *a) {
      CARAT_TRY(json::value inner, json_of_toml(item));
      out.push_back(std::move(inner));
    }
    return json::value(std::move(out));
  }
  if (node.is_string()) return json::value(*node.value<std::string>());
  if (node.is_boolean()) return json::value(*node.value<bool>());
  if (node.is_integer()) return json::value(*node.value<int64_t>());
  if (node.is_floating_point()) {
    const double value = *node.value<double>();
    if (!std::isfinite(value)) return bad_data("a number that JSON does not have: {}", value);
    return json::value(value);
  }
  std::ostringstream text;
  node.visit([&](const auto& value) { text << value; });
  return json::value(text.str());
}

}  // namespace carat
