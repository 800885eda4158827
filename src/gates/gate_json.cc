#include <cmath>

#include "gates/documents.h"

namespace carat {
namespace {

// JSON has no infinities: an end that is not known is null.
json::value number(double v) { return std::isfinite(v) ? json::value(v) : json::value(nullptr); }
json::array ends(const Interval& i) { return {number(i.low), number(i.high)}; }

}  // namespace

json::object to_json(const SliceDifference& d) {
  return {{"task", d.task},
          {"dimension", d.dimension},
          {"slice", d.slice},
          {"metric", d.metric},
          {"baseline", number(d.baseline)},
          {"candidate", number(d.candidate)},
          {"damage", number(d.damage)},
          {"interval", ends(d.interval)},
          {"standard_error", number(d.standard_error)},
          {"p_worse", d.p_worse},
          {"mid_p", d.mid_p},
          {"items", d.items},
          {"clusters", d.clusters},
          {"binary", d.binary},
          {"worse", d.worse},
          {"better", d.better},
          {"missing", d.missing},
          {"unscored", d.unscored},
          {"detectable", number(d.detectable)},
          {"chance", d.chance}};
}

json::object to_json(const Comparison& c) {
  json::array slices, flips;
  for (const SliceDifference& d : c.slices) slices.push_back(to_json(d));
  for (const Flip& f : c.flips)
    flips.push_back({{"task", f.task},
                     {"item", f.item},
                     {"slice", f.slice},
                     {"worse", f.worse},
                     {"question", f.question},
                     {"expected", f.expected},
                     {"baseline_answer", f.baseline_answer},
                     {"candidate_answer", f.candidate_answer}});
  return {
      {"baseline", c.baseline},           {"candidate", c.candidate},          {"suite", c.suite},
      {"suite_version", c.suite_version}, {"suite_digest", c.suite_digest},    {"slices", std::move(slices)},
      {"flips", std::move(flips)},        {"notes", json::value_from(c.notes)}};
}

json::object to_json(const SurfaceDecision& decision) {
  json::array results;
  for (const GateResult& r : decision.results)
    results.push_back(
        {{"subject", r.subject},
         {"tier", r.tier},
         {"verdict", verdict_name(r.verdict)},
         {"reason", r.reason},
         {"margin", number(r.margin)},
         {"p_breach", r.p},
         {"p_breach_adjusted", r.p_adjusted},
         {"p_pass", r.p_pass},
         {"stand_in", r.stand_in},
         {"items_needed", r.items_needed > 0 ? json::value(r.items_needed) : json::value(nullptr)},
         {"difference", to_json(r.difference)}});
  return {{"surface", decision.surface},
          {"description", decision.description},
          {"verdict", verdict_name(decision.verdict)},
          {"reason", decision.reason},
          {"results", std::move(results)}};
}

}  // namespace carat
