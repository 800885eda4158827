// Which device holds a layer and its keys and values. There is one today; code that moves data between layers
// asks here, so that a second one is an addition.
#pragma once

#include <cstdint>

namespace carat {

enum class Place : uint8_t { cpu };

}  // namespace carat
