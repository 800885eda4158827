// What the values of options must be, in sentences of our own: CLI11's speak of its types.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace carat {

/// A whole number from `low` to `high`, both allowed.
CLI::Validator whole_number(int64_t low, int64_t high);
/// The same for numbers separated by commas ...
CLI::Validator whole_numbers(int64_t low, int64_t high);
/// ... and their values.
std::vector<int64_t> parse_whole_numbers(const std::string& list);
/// "a,b" as "a" and "b".
std::vector<std::string> split_at_commas(const std::string& list);
/// Any finite number.
CLI::Validator finite_number();

}  // namespace carat
