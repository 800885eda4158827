// An encoding says how numbers are stored: F16, Q4_K, INT4_G128, ... This is what the rest of carat sees of
// one.
//
// Kinds of encodings are structs in the headers of this folder, listed in all.h. Everything else (GGUF ids,
// command-line names, planner sizes, kernel tables, typed test suites) is derived from that list; there is no
// switch over encodings anywhere else. Most kinds are one encoding; grouped ones (grouped.h) are as many as
// there are groups of columns, each made when it is first named or met in a file.
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

/// The kind of what carat can carry but not compute with.
inline constexpr size_t kNoKind = static_cast<size_t>(-1);

/// Encoding::group where all columns of a row share their parameters, and Encoding::shared_rows where all
/// rows do.
inline constexpr int64_t kWhole = -1;

/// The run-time face of one encoding. Instances live as long as the program and are compared by address.
struct Encoding {
  std::string_view name;  ///< "Q4_K", as llama.cpp and users spell it
  size_t kind = kNoKind;  ///< place in the tables of kernels
  uint32_t ggml_type;     ///< id in GGUF files, or kNoGgmlType
  int atom;               ///< columns whose codes are coupled (1 for scalar grids)
  int leaf;               ///< columns under one scale (of a whole row's: those a row is a multiple of)
  int block;              ///< columns of one stored unit
  uint32_t block_bytes;   ///< bytes of one stored unit
  bool is_float;          ///< F32, F16, BF16: plain numbers, no codes
  bool has_integers;      ///< levels are integers: products can be taken on codes

  // Of grouped encodings.
  int64_t group = 0;        ///< columns under one set of parameters, or kWhole; 0: not a grouped encoding
  int64_t shared_rows = 1;  ///< rows whose parameters are the same, or kWhole. Each row stores them
  int64_t span = 0;         ///< columns, or a row's rest, for which span_bytes are stored; 0: none
  uint32_t span_bytes = 0;

  /// Values [first, first + n) of a row of `columns`; first and n multiples of block, or of 32 in grouped
  /// encodings.
  void (*decode_part)(const Encoding& e, const uint8_t* row, int64_t columns, int64_t first, int64_t n,
                      float* dst);

  /// False for what carat can carry and copy but not compute with (I32, IQ2_XXS today).
  bool can_decode() const { return decode_part != nullptr; }
  bool is_grouped() const { return group != 0; }

  /// Exact values of one row of n weights. Of an encoding that is not grouped, rows lie one after the other
  /// without a seam, so that n may be any multiple of block.
  void decode(const uint8_t* row, float* dst, int64_t n) const { decode_part(*this, row, n, 0, n, dst); }
  /// The same of several rows.
  void decode_rows(const uint8_t* src, int64_t rows, int64_t columns, float* dst) const;

  /// True if a row of `columns` divides into blocks.
  bool fits(int64_t columns) const { return columns > 0 && columns % block == 0; }
  /// Bytes of one row; columns must fit. For numbers from files use checked_bytes.
  uint64_t row_bytes(int64_t columns) const {
    return static_cast<uint64_t>(columns / block) * block_bytes + span_bytes_of(columns);
  }
  /// Bytes of rows x columns, or nothing where the shape does not fit or the product overflows.
  std::optional<uint64_t> checked_bytes(uint64_t rows, uint64_t columns) const;
  /// Without what is stored once for whole rows.
  double bits_per_weight() const {
    return 8.0 * block_bytes / block + (span > 0 ? 8.0 * span_bytes / static_cast<double>(span) : 0);
  }

 private:
  uint64_t span_bytes_of(int64_t columns) const {
    if (span == 0 || columns <= 0) return 0;
    return (span == kWhole ? 1 : static_cast<uint64_t>(ceil_div(columns, span))) * span_bytes;
  }
};

/// How a row of a grouped encoding is laid out.
struct GroupShape {
  int64_t groups = 0;
  int64_t width = 0;     ///< columns of a group
  int64_t codes_at = 0;  ///< byte at which the codes begin
};
GroupShape group_shape(const Encoding& e, int64_t columns);
/// The parameters of a row, [groups] each; zero is 0 where a kind has no zero points.
void read_group_parameters(const Encoding& e, const uint8_t* row, int64_t columns, float* scale, float* zero);

/// All encodings carat can compute with that are not grouped, in the order of all.h.
std::span<const Encoding* const> all_encodings();
/// One of each grouped kind, with a usual group.
std::span<const Encoding* const> grouped_encodings();
/// "INT4_G128" and so on, for those who look for a name: the families and how their groups are written.
std::string_view grouped_names();

/// By name, ignoring case; null if there is none. Also the carried-only types: ask can_decode.
const Encoding* find_encoding(std::string_view name);

/// By GGUF id: also the carried-only types; null for unknown, removed or foreign ids.
const Encoding* find_ggml_type(uint32_t id);

const Encoding& encoding_f32();
const Encoding& encoding_f16();
const Encoding& encoding_bf16();

}  // namespace carat
