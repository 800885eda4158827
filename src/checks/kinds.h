// What makes each kind of check; checks.cc holds the list of them. Settings and what items must expect are
// described in docs/checks.md.
#pragma once

#include "checks/check.h"

namespace carat {

Result<std::unique_ptr<Check>> make_contains(const json::object& settings);
Result<std::unique_ptr<Check>> make_exact(const json::object& settings);
Result<std::unique_ptr<Check>> make_instructions(const json::object& settings);
Result<std::unique_ptr<Check>> make_letter(const json::object& settings);
Result<std::unique_ptr<Check>> make_numeric(const json::object& settings);
Result<std::unique_ptr<Check>> make_python(const json::object& settings);
Result<std::unique_ptr<Check>> make_regex(const json::object& settings);
Result<std::unique_ptr<Check>> make_rubric(const json::object& settings);
Result<std::unique_ptr<Check>> make_schema(const json::object& settings);
Result<std::unique_ptr<Check>> make_tools(const json::object& settings);

}  // namespace carat
