// What the safetensors reader and writer agree on. Internal to containers/.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "encodings/encoding.h"

namespace carat::safetensors {

/// dtypes of the format; each has an encoding of the same name.
inline constexpr std::array<std::string_view, 15> dtypes = {"F64", "F32", "F16",  "BF16",    "I64",
                                                            "I32", "I16", "I8",   "U64",     "U32",
                                                            "U16", "U8",  "BOOL", "F8_E4M3", "F8_E5M2"};

inline bool is_dtype(std::string_view name) { return std::ranges::find(dtypes, name) != dtypes.end(); }

inline constexpr uint64_t max_header_bytes = 100'000'000;  ///< limit of the reference implementation
inline constexpr size_t max_dimensions = 8;
inline constexpr size_t max_name_bytes = 4096;

inline constexpr std::string_view single_file = "model.safetensors";
inline constexpr std::string_view index_file = "model.safetensors.index.json";

}  // namespace carat::safetensors
