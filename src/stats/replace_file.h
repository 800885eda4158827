// Small files that appear whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace carat {

/// Writes PATH.new, syncs it and renames it to PATH.
Status replace_file(const std::string& path, std::string_view bytes);

}  // namespace carat
