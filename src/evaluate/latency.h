// Latency of generated answers. docs/evaluate.md publishes the formulas, which differ between programs.
#pragma once

#include <vector>

#include "cards/scorecard.h"

namespace carat {

class LatencySums {
 public:
  void add(const Record& record);
  /// {"first_token_seconds": {...}, "seconds_per_token": {...}, "answer_seconds": {...}}, each {"p50", "p90",
  /// "p95", "p99", "mean", "answers"}, and "formulas"; a figure that nothing was measured for is left out.
  json::object to_json() const;

 private:
  std::vector<double> first_token_, per_token_, whole_;
};

/// The value below which a share q of `values` lies, interpolated linearly between the two nearest ranks
/// (position q (n - 1); NumPy's default). Sorts; not empty.
double percentile(std::vector<double>& values, double q);

}  // namespace carat
