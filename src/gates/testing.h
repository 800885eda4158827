// Cards made by hand for the tests of comparisons and gates.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "cards/testing.h"
#include "gates/gate.h"

namespace carat::testing {

/// A complete card that answers everything it is given.
inline Scorecard card_of(std::string variant, std::vector<Record> records) {
  Scorecard card = make_card(std::move(variant));
  card.records = std::move(records);
  card.complete = true;
  return card;
}

/// `items` answers to a task with slices "subject=0" ...; right(i, slice) is 0 or 1.
inline std::vector<Record> answers(const std::string& task, int slices, int items_per_slice,
                                   const std::function<double(int, int)>& right) {
  std::vector<Record> out;
  for (int s = 0; s < slices; ++s)
    for (int i = 0; i < items_per_slice; ++i)
      out.push_back(
          make_record(task, fmt::format("{}-{}", s, i), right(i, s), {fmt::format("subject={}", s)}));
  return out;
}

inline const SliceDifference& slice_of(const Comparison& c, std::string_view slice,
                                       std::string_view metric = "acc") {
  for (const SliceDifference& d : c.slices)
    if (d.slice == slice && d.metric == metric) return d;
  static const SliceDifference none;
  return none;
}

/// The first surface on two cards; a policy or cards that are wrong give an inconclusive one with the
/// message.
inline SurfaceDecision gate(std::string_view policy_text, const Scorecard& a, const Scorecard& b,
                            std::vector<std::string> obstacles = {}) {
  SurfaceDecision wrong;
  const auto policy = parse_policy(policy_text, "policy.toml");
  if (!policy) return wrong.reason = policy.error().message, wrong;
  const auto comparison = compare_cards(a, b);
  if (!comparison) return wrong.reason = comparison.error().message, wrong;
  return decide_surface(*policy, policy->surfaces[0], {*comparison, a, b, std::move(obstacles)});
}

inline const GateResult& result_of(const SurfaceDecision& d, std::string_view subject) {
  for (const GateResult& r : d.results)
    if (r.subject == subject) return r;
  static const GateResult none;
  return none;
}

}  // namespace carat::testing
