// What distinguishes two variants. A variant is a whole configuration, so whether a factor (the KV encoding,
// the weights) was measured alone or together with others is seen from what else differs.
#pragma once

#include <string>
#include <vector>

#include "cards/scorecard.h"

namespace carat {

struct SettingDifference {
  std::string member;         ///< "model", or a dotted path in settings: "sampling.temperature"
  std::string first, second;  ///< as text; "-" where it is absent
};

/// Members in which two variants differ: the model by its digest, shown by its path; then settings by path.
/// Empty: the same configuration under two names, as in an A/A comparison.
std::vector<SettingDifference> differing_settings(const Variant& first, const Variant& second);

}  // namespace carat
