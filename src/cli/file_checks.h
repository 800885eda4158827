// That a run does not write over what it reads, or one of its files over another.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace carat {

/// usage error naming the file: an output that is one of the inputs, or two outputs that are one file, by
/// whatever names (links, "./x"). Empty names are passed over.
Status check_files(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs);

}  // namespace carat
