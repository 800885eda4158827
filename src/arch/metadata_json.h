// GGUF metadata inside a JSON file: what config.json has no key for is carried there, typed, so that a model
// comes back from a Hugging Face directory with the metadata it went in with.
//
//   "gguf_metadata": { "general.organization": {"type": "string", "value": "..."},
//                      "x.some_numbers": {"type": "array", "element": "i32", "value": [1, 2]} }
//
// Floats are strings in shortest round-trip form: JSON has no infinities, and readers differ in the last bit.
#pragma once

#include "containers/json.h"
#include "containers/metadata.h"

namespace carat {

json::object metadata_to_json(const std::vector<std::pair<std::string, Value>>& entries);

/// Sets each entry in `out`; bad_data names the key at fault.
Status metadata_from_json(const json::object& object, Metadata& out);

}  // namespace carat
