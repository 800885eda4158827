// Verdicts: whether what a variant lost is within what a policy allows, slice by slice (non-inferiority),
// with the error over all slices held.
#pragma once

#include <string>
#include <vector>

#include "gates/comparison.h"

namespace carat {

enum class GateVerdict { pass, breach, inconclusive, no_headroom };

/// One rule of a surface applied to one slice (or to latency, memory, cost).
struct GateResult {
  std::string surface, tier;  ///< tier: "blocking" or "advisory"
  std::string subject;        ///< "gsm8k", "mmlu subject=anatomy", "p95 first token"
  SliceDifference difference;
  double margin = 0;
  double p = 1, p_adjusted = 1;
  GateVerdict verdict = GateVerdict::inconclusive;
  int64_t items_needed = 0;  ///< inconclusive: about so many would decide
  std::string reason;        ///< one sentence
};

struct SurfaceDecision {
  std::string surface;
  GateVerdict verdict = GateVerdict::inconclusive;
  std::vector<GateResult> results;  ///< worst first
  std::string reason;
};

}  // namespace carat
