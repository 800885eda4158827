// Text from a file, made fit to stand in a message: in quotes, control bytes escaped, long text cut.
#pragma once

#include <string>
#include <string_view>

namespace carat {

std::string quote(std::string_view text);

}  // namespace carat
