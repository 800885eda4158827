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
  const float* importance = nullptr;          ///< [columns], positive, at most about 1; null: uniform
  ErrorWeight weight = ErrorWeight::uniform;  ///< grouped encodings know only this one
  uint8_t* out = nullptr;                     ///< rows * row_bytes
  // Of grouped encodings.
  GroupShape groups = {};
  int64_t row_bytes = 0;
  /// [groups]: parameters that were chosen for more rows than these; null: they are chosen here.
  const float *scale = nullptr, *zero = nullptr;
  void* scratch = nullptr;  ///< SearchTable::search_scratch bytes, aligned to 64
};

using SearchRows = void (*)(const SearchArgs& args);

/// Rows that error feedback takes at a time.
inline constexpr int64_t kFeedbackRows = 64;
/// Columns of the factor that lie side by side (rounders/hessian.h).
inline constexpr int64_t kFeedbackSlice = 8;

struct FeedbackArgs {
  const float* weights = nullptr;  ///< [rows, columns]
  int64_t rows = 0, columns = 0;   ///< at most kFeedbackRows; a multiple of the encoding's block
  /// Slice s, of positions [8 s, 8 s + 8), holds [8 s + 8, 8] numbers: the error at position j, times number
  /// [j][k], is added to the weight at 8 s + k.
  const float* slices = nullptr;
  const float* weight = nullptr;  ///< [columns], positive, at most about 1; null: all alike
  /// The column at each position and the position of each column; null: their own.
  const int32_t* order = nullptr;
  const int32_t* position = nullptr;
  /// The order keeps the columns of each block, and of each leaf, together.
  bool grouped = false;
  void* scratch = nullptr;  ///< SearchTable::feedback_scratch bytes, aligned to 64
  uint8_t* out = nullptr;   ///< rows * row_bytes
  double* cost = nullptr;   ///< [rows]: sum of weight * (compensated weight - rounded)^2
  // Of grouped encodings, as in SearchArgs.
  GroupShape groups = {};
  int64_t row_bytes = 0;
  const float *scale = nullptr, *zero = nullptr;
};

using FeedbackRows = void (*)(const FeedbackArgs& args);

/// n values as floats, exactly as Encoding::decode gives them.
using DecodeValues = void (*)(const uint8_t* in, float* out, int64_t n);
/// The same of a row of a grouped encoding.
using DecodeGroups = void (*)(const GroupShape& groups, const uint8_t* row, int64_t columns, float* out);

/// Adds what one row of n weights lost on becoming `rounded`. importance: n numbers, or null for 1. Weights
/// or results that are not finite are counted, not summed.
using MeasureRow = void (*)(const float* weights, const float* rounded, int64_t n, const float* importance,
                            RoundingError& error);

/// Steps of a blocked Cholesky factorisation M = L L^T over tiles of kFactorTile x kFactorTile,
/// [column][row].
inline constexpr int64_t kFactorTile = 64;
struct FactorSteps {
  /// c -= sum over t < n of a[t] b[t]^T; a and b are n tiles each.
  void (*update)(const double* a, const double* b, int64_t n, double* c) = nullptr;
  /// A tile of the diagonal becomes its factor; false where it is not positive definite.
  bool (*diagonal)(double* c) = nullptr;
  /// c <- c l^-T, for the tiles below one of the diagonal whose factor is l.
  void (*solve)(const double* l, double* c) = nullptr;
};

struct SearchTable {
  // By Encoding::kind. Float encodings have nothing to search: all of these convert.
  std::array<SearchRows, kKinds> nearest{};
  std::array<SearchRows, kKinds> search{};
  std::array<SearchRows, kKinds> half_quadratic{};   ///< null where codes name vectors
  std::array<DecodeValues, kKinds> decode{};         ///< null for grouped encodings
  std::array<DecodeGroups, kKinds> decode_groups{};  ///< null for others
  /// Memory that rounding rows of so many columns needs; null: none.
  std::array<int64_t (*)(int64_t columns), kKinds> search_scratch{};
  /// Error feedback, and how much memory it needs for so many columns; null for float encodings.
  std::array<FeedbackRows, kKinds> feedback{};
  std::array<int64_t (*)(int64_t columns), kKinds> feedback_scratch{};
  MeasureRow measure = nullptr;
  MeasureRow measure_floats = nullptr;  ///< also counts underflows
  FactorSteps factor;
};

/// Where an encoding that carat decodes stands in those arrays.
inline size_t search_position(const Encoding& encoding) { return encoding.kind; }

/// Exact values of rows in any encoding that carat decodes, with the table's functions.
void decode_rows(const SearchTable& table, const Encoding& encoding, const uint8_t* in, int64_t rows,
                 int64_t columns, float* out);

/// The table of an instruction set that this processor has.
const SearchTable& search_table(Isa isa);

// Each is defined in kernels/<isa>/search.cc.
namespace portable {
const SearchTable& search_functions();
void add_grouped_functions(SearchTable& table);
void add_codebook_functions(SearchTable& table);
}  // namespace portable
namespace avx2 {
const SearchTable& search_functions();
void add_grouped_functions(SearchTable& table);
void add_codebook_functions(SearchTable& table);
}  // namespace avx2
namespace avx512 {
const SearchTable& search_functions();
void add_grouped_functions(SearchTable& table);
void add_codebook_functions(SearchTable& table);
}  // namespace avx512

}  // namespace carat
