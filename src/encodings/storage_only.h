// Types that carat carries from file to file but does not compute with.
#pragma once

#include <span>

#include "encodings/encoding.h"

namespace carat {

std::span<const Encoding> storage_only_encodings();

}  // namespace carat
