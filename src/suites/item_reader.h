// From a line of JSON to an item: templates are rendered, examples put before the question, slices named.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "suites/suite_file.h"

namespace carat {

/// The prompt of a chat becomes a user's turn; bad_data where the check does not accept what is expected.
Status complete_item(const TaskFile& task, Item& item);

class ItemReader {
 public:
  /// Reads the examples of a task, where it has some. `task` is kept by reference.
  static Result<ItemReader> open(const std::string& directory, const TaskFile& task);

  /// The item of a line, the `number`-th of its task (from 1, its id where it has none). bad_data naming the
  /// field, without file and line.
  Result<Item> read(std::string_view line, int64_t number) const;

 private:
  /// A line with its templates rendered, in the fields of docs/suites.md.
  struct Line {
    json::object raw;     ///< as it is in the file
    json::object fields;  ///< context, choices, ...
  };
  explicit ItemReader(const TaskFile& task) : task_(&task) {}
  Result<Line> parse(std::string_view text) const;
  Result<Item> item_of(const Line& line, int64_t number) const;
  Status read_identity(const Line& line, int64_t number, Item& item) const;
  Status read_choice(const json::object& fields, Item& item) const;
  Status read_generate(const json::object& fields, Item& item) const;
  Status read_turns(const json::object& fields, Item& item) const;
  Status read_examples(const std::string& path);
  Result<std::string> example(const Line& line, std::string_view text) const;
  Status add_prefix(const Line& line, std::string_view text, Item& item) const;

  const TaskFile* task_;
  std::unordered_map<std::string, std::string> examples_;  ///< by what they match
};

}  // namespace carat
