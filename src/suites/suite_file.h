// What suite.toml says, before any item is read.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checks/check.h"
#include "suites/item_template.h"
#include "suites/long_context.h"
#include "suites/suite.h"

namespace carat {

/// How one field of an item comes from the fields of a line: one template, a list of them, or named ones.
struct FieldForm {
  enum Shape { one, list, members } shape = one;
  std::string field;  ///< "context", "choices", ...
  std::vector<std::pair<std::string, ItemTemplate>> parts;
};

/// Examples before the question, taken from a file of their own.
struct FewShot {
  std::string file;  ///< relative to the suite
  int64_t count = 0;
  std::string separator = "\n\n";
  std::string match;                   ///< a field that example and item have in common; empty = any example
  std::optional<ItemTemplate> answer;  ///< what follows the example's prompt; default: the gold answer
};

struct TaskFile {
  Task task;
  std::vector<std::string> files;  ///< JSONL, relative to the suite; none where items are generated
  std::optional<LongContext> generated;
  std::vector<FieldForm> forms;
  std::optional<ItemTemplate> preamble;  ///< begins the prompt, before the examples
  std::optional<FewShot> few_shot;
  std::vector<std::string> slice_by;
  std::string cluster_by;
  bool default_metrics = false;        ///< the file names none
  std::shared_ptr<const Check> check;  ///< null unless kind is generate
  int64_t line = 0;
};

struct SuiteFile {
  std::string path, directory;
  std::string name, version, description, license;
  std::vector<TaskFile> tasks;
};

/// Errors as open_suite.
Result<SuiteFile> read_suite_file(const std::string& path);
/// The same of a text that stands for the file `path`.
Result<SuiteFile> parse_suite_file(std::string_view text, const std::string& path);

/// Metrics there are for a kind; those of a check are besides.
std::span<const std::string_view> metrics_of(TaskKind kind);
std::string_view name_of(TaskKind kind);

}  // namespace carat
