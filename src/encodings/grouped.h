// Grouped encodings: kinds of numbers whose scales belong to a group of columns that is chosen at run time,
// or to a whole row. Bits, FP8 and NF4 as the checkpoints of GPTQ, compressed-tensors and bitsandbytes have
// them, in a row layout of carat's own:
//
//   what whole rows (or long spans of them) share, the parameters of each group, the codes of all columns
//
// A row stands for itself, as in every other encoding: rows can be mapped, cut into slabs, resumed and
// multiplied without knowing their tensor. What several rows share (the scale of a tensor, of 128 rows) is
// therefore stored once per row, 16 bits (integers) or 32 (FP8), which is 0.004 to 0.03 bits per weight for
// rows of 4,096 and 1,024. Codes lie apart from parameters, so that kernels read 256 columns the same way
// whatever the group is. Rejected: blocks of parameters and codes as in GGUF's own types, where every group
// width would be a layout, and thus a kernel, of its own.
//
// In GGUF files they have type numbers of carat's own, 0xCA000000 | kind << 16 | group, where group is 0 for
// whole rows, 1 for a tensor's scale, or the columns of a group. Other readers refuse these by number.
//
// A kind E has: kName, kNumber (in type numbers, never reused); kGrouping; Block, pack and unpack of the
// codes of 32 columns; kCodes and how a code decodes; parameters' bytes, read_parameters, write_parameters.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "encodings/encoding.h"
#include "encodings/planes.h"

namespace carat {

/// How a kind's groups can be chosen.
enum class Grouping {
  any,    ///< multiples of 32 columns, rows, the tensor
  tiles,  ///< 128 rows x 128 columns, rows, the tensor
  fixed   ///< E::kFixedGroup columns
};

struct GroupedFacts {
  static constexpr bool kFloat = false, kGrouped = true, kTwoLevel = false;
  static constexpr int kAtom = 1, kLeaf = 32, kBlock = 32, kLeaves = 1;
  /// Of 32 columns.
  using Codes = std::array<uint8_t, 32>;
};

/// The exact values of columns [first, first + n), multiples of 32, of a row.
template <class E>
CARAT_ENCODING_INLINE void decode_grouped(const GroupShape& shape, const uint8_t* row, int64_t first,
                                          int64_t n, float* dst) {
  const auto* block = reinterpret_cast<const typename E::Block*>(row + shape.codes_at) + first / 32;
  const int64_t width = shape.width;
  float scale = 0, zero = 0;
  int64_t end = 0;  // of the columns that scale and zero are for
  typename E::Codes codes;
  for (int64_t at = first; at < first + n; at += 32) {
    if (at >= end) {
      E::read_parameters(row, shape.groups, at / width, 1, &scale, &zero);
      end = (at / width + 1) * width;
    }
    E::unpack(*block++, codes.data());
    for (int j = 0; j < 32; ++j) *dst++ = E::value(codes[static_cast<size_t>(j)], scale, zero);
  }
}

}  // namespace carat
