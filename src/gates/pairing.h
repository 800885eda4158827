// The records of two cards side by side, item by item.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cards/scorecard.h"

namespace carat {

/// A metric of one item, averaged over the repeats that both cards have; or only in one of them.
struct PairedValue {
  bool in_baseline = false, in_candidate = false;
  double baseline = 0, candidate = 0;
};

struct PairedItem {
  const Record* baseline = nullptr;   ///< first scored repeat, null where there is none
  const Record* candidate = nullptr;  ///< its pair; where the baseline has none, its own first
  const Record* any = nullptr;        ///< names, cluster and slices
  double weight = 1;
  bool same_weight = true;          ///< else the variants cut the text into other tokens
  std::vector<PairedValue> values;  ///< by metric of the task
};

struct PairedTask {
  std::string_view name;
  std::vector<std::string_view> metrics;  ///< as the records have them
  std::vector<PairedItem> items;
};

/// Tasks by name. Points into the cards. Errors: bad_data where a card has an answer twice.
Result<std::vector<PairedTask>> pair_records(const Scorecard& baseline, const Scorecard& candidate);

}  // namespace carat
