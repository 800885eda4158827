// An encoding says how numbers are stored: F16, Q4_K, IQ4_XS, ... This is what the rest of carat sees of one.
//
// Each encoding is one header in this folder that defines a struct with the facts and operations below, and
// one line in all.h. Everything else (GGUF ids, command-line names, planner sizes, kernel tables, typed test
// suites) is derived from that list; there is no switch over encodings anywhere else.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/checked.h"

namespace carat {

/// The ggml_type of what GGUF has no id for (BOOL, FP8, ...): such tensors cannot be written to a GGUF.
inline constexpr uint32_t kNoGgmlType = 0xffffffff;

/// The run-time face of one encoding. Instances are static and compared by address.
struct Encoding {
  std::string_view name;  ///< "Q4_K", as llama.cpp and users spell it
  uint32_t ggml_type;     ///< id in GGUF files, or kNoGgmlType
  int atom;               ///< columns whose codes are coupled (1 for scalar grids)
  int leaf;               ///< columns under one scale
  int block;              ///< columns of one stored unit
  uint32_t block_bytes;   ///< bytes of one stored unit
  bool is_float;          ///< F32, F16, BF16: plain numbers, no codes

  /// False for what carat can carry and copy but not compute with (I32, IQ2_XXS today).
  bool can_decode() const { return decode != nullptr; }

  /// Exact values of n weights (n a multiple of block): src holds n / block blocks.
  void (*decode)(const uint8_t* src, float* dst, int64_t n);

  /// True if a row of `columns` divides into blocks.
  bool fits(int64_t columns) const { return columns > 0 && columns % block == 0; }
  /// Bytes of one row; columns must fit. For numbers from files use checked_bytes.
  uint64_t row_bytes(int64_t columns) const { return static_cast<uint64_t>(columns / block) * block_bytes; }
  /// Bytes of rows x columns, or nothing where the shape does not fit or the product overflows.
  std::optional<uint64_t> checked_bytes(uint64_t rows, uint64_t columns) const;
  double bits_per_weight() const { return 8.0 * block_bytes / block; }
};

/// All encodings carat can compute with, in the order of all.h.
std::span<const Encoding* const> all_encodings();

/// By name, ignoring case; null if there is none. Also the carried-only types: ask can_decode.
const Encoding* find_encoding(std::string_view name);

/// By GGUF id: also the carried-only types; null for unknown, removed or foreign ids.
const Encoding* find_ggml_type(uint32_t id);

const Encoding& encoding_f32();
const Encoding& encoding_f16();
const Encoding& encoding_bf16();

}  // namespace carat
