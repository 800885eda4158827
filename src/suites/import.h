// Public data sets as suites of one task: the fields of the files stay as they are where possible, and the
// prompt is a template in suite.toml, where it can be read and changed. Prompts, separators and stop texts
// are those of lm-evaluation-harness 0.4.13's task files where it has such a task, so that results compare.
//
// To add a format: a file in importers/ and its line in importers/importers.cc.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "containers/json.h"

namespace carat {

struct ImportRequest {
  std::vector<std::string> files{};
  std::string name{};   ///< of the suite and its task; the format's where empty
  int64_t limit = 0;    ///< so many items, spread evenly over the files; 0 = all
  std::string split{};  ///< format text: "file", "blank" or "heading"; where a document ends
};

/// Takes what an importer reads; `place` is "file:line", for messages.
class ImportSink {
 public:
  virtual ~ImportSink() = default;
  virtual Status item(const std::string& place, json::object&& fields) = 0;
  virtual Status example(json::object&& fields) = 0;
  /// The file in which examples will lie, for few_shot.items.
  virtual const std::string& examples_file() const = 0;
};

struct Importer {
  std::string_view name;
  std::string_view purpose;    ///< the data set and its form, one line
  std::string_view dimension;  ///< of the task
  std::string_view license;    ///< of the data, as its authors publish it
  /// Reads the files, always in the same way, and returns the task's settings as TOML.
  Result<std::string> (*read)(const ImportRequest& request, ImportSink& sink);
};

/// THE list of formats.
std::span<const Importer> importers();
const Importer* find_importer(std::string_view name);

struct ImportReport {
  int64_t items = 0, available = 0;
  std::string digest;  ///< of the suite
};

/// Writes the suite into `directory`, which must not exist. It appears whole or not at all. Errors: usage;
/// no_input; bad_data naming file and line of the source; io.
Result<ImportReport> import_suite(const Context& context, const Importer& importer,
                                  const ImportRequest& request, const std::string& directory);

}  // namespace carat
