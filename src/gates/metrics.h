// What the metrics of cards mean when two are compared: which way is worse, and what can be said without
// having seen it. THE table of directions; a metric that is not in it is named and left alone.
#pragma once

#include <string_view>

namespace carat {

struct MetricFacts {
  std::string_view name;
  bool higher_is_better = false;
  bool share = false;       ///< within 0 and 1
  bool judgement = false;   ///< of being right: headroom above guessing is asked for, and flips are shown
  bool per_token = false;   ///< means nothing between variants that cut the text into other tokens
  bool divergence = false;  ///< from the reference, which is not asked for its own
  double at_reference = 0;  ///< what a divergence of the reference from itself is
};

/// Null for metrics without a direction (lengths, chance) and for unknown ones.
const MetricFacts* find_metric(std::string_view name);
/// Metrics that say something of an item and are not compared: "chance", "generated_tokens" ...
bool is_descriptive(std::string_view name);

}  // namespace carat
