// What comes from models and files, made fit for JSON: every text UTF-8, every number one that JSON can hold.
// Internal to cards/.
#pragma once

#include <string>
#include <string_view>

#include "containers/json.h"

namespace carat {

/// Bytes that are not UTF-8 become U+FFFD, one each.
std::string json_text(std::string_view text);
/// Infinities and NaN become the strings "Infinity", "-Infinity" and "NaN".
json::value json_number(double x);
/// Both, for all that is in the value.
json::value valid_json(const json::value& value);

}  // namespace carat
