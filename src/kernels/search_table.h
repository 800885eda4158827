// Choosing codes for rows of weights: the data-free rounders' inner loops, one function per encoding and
// instruction set. All instruction sets give the same bytes: lanes are rows, sums run over columns in order
// within a lane, and nothing is contracted (kernels/generic/search_lanes.h).
#pragma once

#include <array>
#include <cstdint>

#include "base/cpu.h"
#include "encodings/all.h"

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

struct SearchTable {
  /// By position in AllEncodings; null for float encodings.
  std::array<SearchRows, AllEncodings::kCount> nearest{};
  std::array<SearchRows, AllEncodings::kCount> search{};
};

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
