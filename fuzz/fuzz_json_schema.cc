// A schema and, on the lines below it, instances: compiling and validating end with an answer or one
// sentence, and the answer does not depend on what was asked before.
#include <algorithm>
#include <string_view>

#include "checks/json_schema.h"
#include "fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace carat;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto next_line = [&rest] {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    return line;
  };
  const auto source = parse_json(next_line());
  if (!source) return 0;
  const auto schema = JsonSchema::compile(*source, JsonSchema::Formats::asserted);
  if (!schema) {
    fuzz::check(schema.error().code == Code::bad_data && !schema.error().message.empty());
    return 0;
  }
  for (int i = 0; i < 4 && !rest.empty(); ++i) {
    const auto instance = parse_json(next_line());
    if (!instance) continue;
    const auto first = schema->violation(*instance), second = schema->violation(*instance);
    fuzz::check(first.ok() == second.ok() && (!first.ok() || *first == *second));
    fuzz::check(first.ok() || first.error().code == Code::bad_data);
  }
  return 0;
}
