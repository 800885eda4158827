// Templates of a suite: Jinja over the fields of one line of JSON. In contrast to chat templates, a name that
// the line does not have is an error and not an empty text: a misspelt field would ask every model nonsense,
// and nobody would notice. A line feed at the end of a template is kept, as in lm-evaluation-harness.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"
#include "containers/json.h"
#include "text/chat_template.h"

namespace carat {

class ItemTemplate {
 public:
  /// bad_data with line and reason if the source does not parse.
  static Result<ItemTemplate> parse(std::string_view source);
  /// `line` is `fields` as JSON text.
  Result<std::string> render(const json::object& fields, std::string_view line) const;

 private:
  ItemTemplate() = default;
  std::shared_ptr<const ChatTemplate> parsed_;
  bool ends_line_ = false;
  std::set<std::string, std::less<>> needed_;  ///< fields it cannot do without
};

}  // namespace carat
