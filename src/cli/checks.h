// What the values of options must be, in sentences of our own: CLI11's speak of its types.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>

namespace carat {

/// A whole number from `low` to `high`, both allowed.
CLI::Validator whole_number(int64_t low, int64_t high);
/// Any finite number.
CLI::Validator finite_number();

}  // namespace carat
