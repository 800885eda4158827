// Whether calls are the ones that were asked for, by the rules of the Berkeley Function-Calling Leaderboard's
// AST check (Patil et al. 2025; bfcl_eval 2026.3.23, ast_checker.py, for Python).
#pragma once

#include <string>
#include <vector>

#include "checks/tool_calls.h"

namespace carat {

/// `functions`: BFCL's or OpenAI's descriptions. `truth`: an array of {name: {argument: [allowed values, ""
/// for absent]}}. Empty where every call is there, in any order, and nothing else; otherwise why not.
std::string mismatch(const std::vector<ParsedCall>& calls, const json::array& functions,
                     const json::array& truth);

/// Whether `given` is the function `wanted`; interfaces that allow no dots in names make them underscores.
bool same_function(const std::string& given, const std::string& wanted);

}  // namespace carat
