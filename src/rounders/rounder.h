// A rounder chooses the codes of one tensor. Data-free rounders work on slabs of rows, any number at a time,
// and give the same bytes for any slab size, thread count and instruction set.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/context.h"
#include "encodings/encoding.h"
#include "kernels/kernels.h"

namespace carat {

/// What was lost: sums over the rounded elements, in double, added up in row order.
struct RoundingError {
  double squared_error = 0;   ///< sum (w - q)^2
  double squared_weight = 0;  ///< sum w^2
  double weighted_error = 0;  ///< sum importance * (w - q)^2
  double max_error = 0;
  uint64_t underflows = 0;  ///< non-zero values that became zero (float encodings)
  uint64_t overflows = 0;   ///< finite values that became infinite (float encodings): the caller's error
  uint64_t not_finite = 0;  ///< NaN or infinity in the input: the caller's error
  void add(const RoundingError& o);
  double relative() const { return squared_weight > 0 ? squared_error / squared_weight : 0; }
};

class Rounder {
 public:
  virtual ~Rounder() = default;
  virtual std::string_view name() const = 0;  ///< "nearest", "search": the --method name
  /// Whether it can write this encoding.
  virtual bool supports(const Encoding& e) const = 0;
  /// weights: rows x columns floats; importance: one non-negative number per column, or empty for uniform.
  /// out: rows * row_bytes. Rows are split over the pool.
  virtual RoundingError round(const Context& context, const KernelTable& kernels, const Encoding& e,
                              const float* weights, int64_t rows, int64_t columns,
                              std::span<const float> importance, uint8_t* out) const = 0;
};

/// THE list of rounders, in the order shown to users; the first is the default.
std::span<const Rounder* const> all_rounders();
const Rounder* find_rounder(std::string_view name);

/// Raised whenever the bytes a rounder gives for the same input change; recorded in files and journals.
inline constexpr int kRounderRevision = 1;

}  // namespace carat
