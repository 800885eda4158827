// A table of a TOML file whose keys are taken one by one, so that every mistake is said with file and line
// and a key that nobody took is an error.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "containers/json.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace carat {

/// bad_data with file and line: syntax, not UTF-8, longer than 4 MB, nested deeply; no_input.
Result<toml::table> read_toml(const std::string& path);
/// The same of a text; `name` stands for the file in messages.
Result<toml::table> parse_toml(std::string_view text, const std::string& name);

class TomlTable {
 public:
  /// `what` names the table in messages: "[suite]".
  TomlTable(const toml::table& table, std::string file, std::string what)
      : table_(&table), file_(std::move(file)), what_(std::move(what)) {}

  /// Null where the key is missing.
  const toml::node* find(std::string_view key);
  // Empty where the key is missing; bad_data where it is of another type or out of range.
  Result<std::optional<std::string>> text(std::string_view key);
  Result<std::optional<int64_t>> integer(std::string_view key, int64_t low, int64_t high);
  Result<std::optional<double>> number(std::string_view key, double low, double high);
  Result<std::optional<bool>> flag(std::string_view key);
  /// One string, or an array of strings.
  Result<std::vector<std::string>> texts(std::string_view key);
  Result<std::vector<int64_t>> integers(std::string_view key, int64_t low, int64_t high);
  /// The table under a key, or an empty optional.
  Result<std::optional<TomlTable>> table(std::string_view key);
  /// bad_data where the key is missing or the text empty.
  Result<std::string> needed_text(std::string_view key);

  /// bad_data naming a key that nobody asked for, with the keys there are.
  Status finish() const;
  /// A mistake about a key, or about the table where there is no such key.
  Error mistake(std::string_view key, std::string_view sentence) const;
  const toml::table& raw() const { return *table_; }
  const std::string& file() const { return file_; }
  /// Of a key, or of the table.
  int64_t line(std::string_view key = {}) const;

 private:
  Error wrong_type(std::string_view key, std::string_view wanted) const;

  const toml::table* table_;
  std::string file_, what_;
  std::set<std::string, std::less<>> asked_;
};

/// The same value as JSON; dates and times as text. bad_data for numbers JSON does not have (nan, inf).
Result<json::value> json_of_toml(const toml::node& node);

}  // namespace carat
