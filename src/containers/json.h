// JSON through Boost.JSON with errors as values, a depth limit and duplicate keys refused nowhere (the last
// wins, as everywhere in the Hugging Face world).
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace carat {

namespace json = boost::json;

/// bad_data with offset and reason. Nesting is limited to 64 levels, which no checkpoint comes near, and
/// memory to 32 MB and twice the text, which holds the largest tokenizers in use.
Result<json::value> parse_json(std::string_view text);

/// Serialises with two-space indentation, keys in their order, numbers shortest round-trip.
std::string pretty_json(const json::value& value);

/// Typed look-ups that never throw: null where the key is missing or of another type.
const json::value* json_find(const json::value& object, std::string_view key);
const json::object* json_object(const json::value* value);
const json::array* json_array(const json::value* value);
const json::string* json_string(const json::value* value);

}  // namespace carat
