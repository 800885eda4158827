// The 25 kinds of instructions of IFEval (Zhou et al. 2023), as its published checker judges them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "containers/json.h"

namespace carat {

/// Whether `kind` ("keywords:existence") exists and `arguments` hold what it needs; members that are null
/// count as missing. Errors: Code::bad_data naming the argument.
Status accepts_instruction(std::string_view kind, const json::object& arguments);

/// Whether `reply`, valid UTF-8, follows the instruction; nothing where that cannot be told (a language that
/// is not known). The arguments must have been accepted.
std::optional<bool> follows_instruction(std::string_view kind, const json::object& arguments,
                                        const std::string& reply);

}  // namespace carat
