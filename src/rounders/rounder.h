// A rounder chooses the codes of one tensor. Rounders work on slabs of rows, any number at a time, and give
// the same bytes for any slab size and thread count; data-free ones also for any instruction set.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/context.h"
#include "encodings/encoding.h"
#include "kernels/kernels.h"
#include "kernels/rounding_error.h"
#include "rounders/hessian.h"

namespace carat {

/// Rows of a tensor as they are stored.
struct SourceRows {
  const Encoding* encoding = nullptr;  ///< one that can be decoded
  const uint8_t* bytes = nullptr;      ///< rows * row_bytes
  int64_t rows = 0, columns = 0;
};

struct InputDrift;

/// What calibration found out about a tensor's columns. Without it all count alike.
struct ColumnGuide {
  std::span<const float> importance = {};    ///< one non-negative number per column, or empty for uniform
  const FeedbackFactor* feedback = nullptr;  ///< how columns depend on each other (hessian.h), or null
  const InputDrift* drift = nullptr;  ///< with it: how far they are off by now (input_drift.h), or null
  /// [groups]: of encodings whose rows share parameters, those of the rows at hand (shared_scales.h).
  std::span<const float> scale = {}, zero = {};
};

class Rounder {
 public:
  virtual ~Rounder() = default;
  virtual std::string_view name() const = 0;  ///< "nearest", "search": the --method name
  /// Whether it can write this encoding.
  virtual bool supports(const Encoding& e) const = 0;
  /// Whether round() looks at ColumnGuide::importance.
  virtual bool uses_importance() const { return true; }
  /// Whether round() needs ColumnGuide::feedback, which is made from calibration text.
  virtual bool needs_feedback() const { return false; }
  /// Whether parameters are those of the extremes, rather than of the least error.
  virtual bool takes_extremes() const { return false; }
  /// out: rows * row_bytes. Rows are split over the pool. A usage error where the guide lacks what the
  /// rounder needs.
  virtual Result<RoundingError> round(const Context& context, const KernelTable& kernels, const Encoding& e,
                                      const SourceRows& source, const ColumnGuide& guide,
                                      uint8_t* out) const = 0;
};

/// THE list of rounders, in the order shown to users, the default one first.
std::span<const Rounder* const> all_rounders();
const Rounder* find_rounder(std::string_view name);
const Rounder& default_rounder();

/// Raised whenever the bytes a rounder gives for the same input change; recorded in files and journals.
inline constexpr int kRounderRevision = 4;

}  // namespace carat
