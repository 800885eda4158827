// Verdicts: whether what a variant lost is within what a policy allows, slice by slice (non-inferiority),
// with the error over all slices held.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gates/comparison.h"
#include "gates/policy.h"

namespace carat {

/// no_headroom: accuracy cannot show a loss here, because the baseline itself is not above guessing by more
/// than what may be lost. Never a pass; what stands in for it decides.
enum class GateVerdict { pass, breach, inconclusive, no_headroom };
/// "pass", "breach", "inconclusive", "no headroom"
std::string_view verdict_name(GateVerdict verdict);

/// One rule of a surface applied to one slice (or to latency, memory, cost).
struct GateResult {
  std::string surface, tier;     ///< tier: "blocking" or "advisory"
  std::string subject;           ///< "gsm8k", "mmlu subject=anatomy", "p95 of first_token_seconds"
  SliceDifference difference;    ///< of a limit: metric is the quantity, interval that of what is limited
  double margin = 0;             ///< damage allowed; of a limit: its bound
  double p = 1, p_adjusted = 1;  ///< of damage within the margin: small = breach; adjusted over the tier
  double p_pass = 1;             ///< of damage of the margin or more: small = pass
  GateVerdict verdict = GateVerdict::inconclusive;
  bool stand_in = false;     ///< judges in place of a row without headroom, which comes before it
  int64_t items_needed = 0;  ///< inconclusive: about so many would decide
  std::string reason;        ///< one sentence
};

struct SurfaceDecision {
  std::string surface, description;
  GateVerdict verdict = GateVerdict::inconclusive;
  std::vector<GateResult> results;  ///< worst first
  std::string reason;
};

/// What decide() looks at.
struct GateInput {
  const Comparison& comparison;
  const Scorecard& baseline;
  const Scorecard& candidate;
  /// Why nothing may pass, whatever the figures: stale or incomplete cards.
  std::vector<std::string> obstacles;
};

/// A surface is a breach if a blocking row is, inconclusive if a blocking row did not pass or there is an
/// obstacle, else a pass: each blocking row passed its own test, so that the chance of a wrong pass is that
/// of one test (intersection-union: Berger 1982), while breaches are adjusted (Holm over blocking rows,
/// Benjamini and Hochberg over advisory ones).
SurfaceDecision decide_surface(const Policy& policy, const Surface& surface, const GateInput& input);

/// Breach if any surface is, inconclusive if any did not pass, else pass.
GateVerdict overall_verdict(const std::vector<SurfaceDecision>& decisions);

/// Limits on times, memory, bytes and price; for decide_surface().
GateResult judge_limit(const Policy& policy, const Limit& limit, const GateInput& input);

}  // namespace carat
