// Keys of config.json that only some families have, from their tables.
#pragma once

#include <span>

#include "arch/family.h"
#include "arch/hf_reader.h"
#include "containers/checkpoint.h"

namespace carat {

/// Sets {architecture}.*. bad_data where a key is missing, or says what carat does not compute.
Status read_hf_keys(const HfReader& read, std::string_view architecture, std::span<const HfKey> keys,
                    Metadata& out);
/// The inverse.
Status write_hf_keys(const Metadata& metadata, std::string_view architecture, std::span<const HfKey> keys,
                     json::object& out);

}  // namespace carat
