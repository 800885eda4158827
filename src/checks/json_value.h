// Equality and order of JSON values as mathematics sees them: 1, 1.0 and 1e0 are one number, members have no
// order.
#pragma once

#include <string>

#include "containers/json.h"

namespace carat {

/// -1, 0 or 1. Both must be numbers. Exact, also between integers and doubles.
int compare_numbers(const json::value& a, const json::value& b);
bool is_integer(const json::value& number);
/// Whether a is a whole multiple of b > 0, both read as the decimal numbers that were written (15 digits).
bool is_multiple(const json::value& a, const json::value& b);
bool same_json(const json::value& a, const json::value& b);
/// Equal exactly for values that are the same.
std::string canonical_json(const json::value& value);

}  // namespace carat
