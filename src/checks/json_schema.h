// Validation against a JSON Schema: drafts 4, 6, 7, 2019-09 and 2020-12 (assumed where $schema is missing)
// within one document. docs/checks.md says what is outside; a schema that uses it is never judged by the rest
// of it.
//
// The schema and the instance are both hostile: regular expressions have a limit on steps, references one on
// depth, a validation one on all it does.
#pragma once

#include <memory>
#include <string>

#include "containers/json.h"

namespace carat {

class JsonSchema {
 public:
  /// Whether `format` is checked or, as the specification has it unless asked otherwise, only noted.
  enum class Formats { noted, asserted };
  /// Errors: Code::bad_data naming the keyword that is malformed or outside the subset, and where.
  static Result<JsonSchema> compile(const json::value& schema, Formats formats = Formats::noted);

  /// Empty where the instance is valid, otherwise what is wrong and where ("at /items/3: ..."). Errors:
  /// Code::bad_data where a limit was exceeded, so that there is no verdict.
  Result<std::string> violation(const json::value& instance) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
  friend class SchemaCompiler;
  friend class SchemaValidation;
};

}  // namespace carat
