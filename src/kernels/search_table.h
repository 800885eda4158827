// Choosing codes for rows of weights: the data-free rounders' inner loops, one function per encoding and
// instruction set. All instruction sets give the same bytes: lanes are rows, sums run over columns in order
// within a lane, and nothing is contracted (kernels/generic/search_lanes.h).
#pragma once

#include <array>
#include <cstdint>

#include "base/cpu.h"
#include "encodings/all.h"
#include "kernels/rounding_error.h"

namespace carat {

/// What the squared error of a weight x counts, besides the importance of its column.
enum class ErrorWeight {
  uniform,    ///< 1
  magnitude,  ///< sqrt(mean of x^2 over the block) + |x|
  square      ///< x^2
};

struct SearchArgs {
  const float* weights = nullptr;  ///< [rows, columns]; columns a multiple of the encoding's block
  int64_t rows = 0, columns = 0;
  const float* importance = nullptr;  ///< [columns], positive, at most about 1; null: uniform
  ErrorWeight weight = ErrorWeight::uniform;
  uint8_t* out = nullptr;  ///< rows * row_bytes
};

using SearchRows = void (*)(const SearchArgs& args);

/// n values as floats, exactly as Encoding::decode gives them.
using DecodeValues = void (*)(const uint8_t* in, float* out, int64_t n);

/// Adds what one row of n weights lost on becoming `rounded`. importance: n numbers, or null for 1. Weights
/// or results that are not finite are counted, not summed.
using MeasureRow = void (*)(const float* weights, const float* rounded, int64_t n, const float* importance,
                            RoundingError& error);

struct SearchTable {
  // By position in AllEncodings. Float encodings have nothing to search: both functions convert.
  std::array<SearchRows, AllEncodings::kCount> nearest{};
  std::array<SearchRows, AllEncodings::kCount> search{};
  std::array<DecodeValues, AllEncodings::kCount> decode{};
  MeasureRow measure = nullptr;
  MeasureRow measure_floats = nullptr;  ///< also counts underflows
};

/// Where an encoding that carat decodes stands in those arrays.
size_t search_position(const Encoding& encoding);

/// The table of an instruction set that this processor has.
const SearchTable& search_table(Isa isa);

// Each is defined in kernels/<isa>/search.cc.
namespace portable {
const SearchTable& search_functions();
}
namespace avx2 {
const SearchTable& search_functions();
}
namespace avx512 {
const SearchTable& search_functions();
}

}  // namespace carat
