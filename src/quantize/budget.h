// Finds the recipe for a budget: sensitivities are measured, an allocator picks an encoding per tensor, the
// result is quantized and measured, and where the prediction was wrong it is corrected and made again.
//
// The calibration text is divided: some sequences are held out from everything and judge the files; a few
// others probe (sensitivity.h); the rest, and for the files themselves the probes too, is what methods with
// data look at.
//
// Predictions add up: a mix is predicted to cost the sum of its tensors' costs. What that leaves out is
// corrected from the first file: for each part that tensors play (q, k, ...) the divergence that goes away
// when all tensors of the part are the source's again, beside what was predicted for them, scales their
// costs; and one factor over all makes the sum what was measured. The file that is kept is one that was
// measured.
//
// Rejected: correcting tensor by tensor (the difference of two divergences is mostly noise for one tensor of
// hundreds), and a model of pairs of tensors (as many measurements as pairs).
#pragma once

#include <string>
#include <vector>

#include "quantize/quantize.h"
#include "recipes/found_recipe.h"
#include "score/statistics.h"

namespace carat {

struct BudgetGoal {
  enum class Kind {
    file_bytes,       ///< the whole file, header included
    bits_per_weight,  ///< QuantizePlan::bits_per_weight
    divergence        ///< the smallest file whose mean KL on the held-out text is at most `limit`
  };
  Kind kind = Kind::file_bytes;
  uint64_t bytes = 0;
  double limit = 0;  ///< of the other two
};

struct BudgetOptions {
  BudgetGoal goal;
  const CalibrationText* text = nullptr;  ///< all of it; not copied
  /// Where measured sensitivities are kept and taken from; empty: nowhere.
  std::string sensitivities;
};

/// One file that was made and measured.
struct BudgetRound {
  uint64_t bytes = 0;
  double predicted_kl = 0;  ///< before it was made
  Estimate measured_kl;     ///< nats per token, on the held-out text
};

struct BudgetPlan {
  Recipe recipe;
  std::string rule_file;  ///< the recipe with what was predicted and measured as comments
  QuantizePlan plan;
  double predicted_kl = 0;
  size_t measured_tensors = 0, known_tensors = 0;  ///< sensitivities measured now, and taken from the file
};

struct BudgetResult {
  Recipe recipe;
  std::string rule_file;
  QuantizeReport report;            ///< of the file that was kept
  std::vector<BudgetRound> rounds;  ///< in order
  size_t kept = 0;                  ///< which of them
  int64_t held_out_tokens = 0, probing_tokens = 0;
  size_t measured_tensors = 0, known_tensors = 0;
};

/// What the first file would be: sensitivities and allocation, nothing else is written. options.recipe holds
/// the user's rules only, which stay in force; options.text is not used. Errors: usage for a budget that
/// nothing fits, or that is larger than the source, naming the limits; for too little text; those of
/// measure_sensitivities() and plan_quantize().
Result<BudgetPlan> plan_budget(const Context& context, const Checkpoint& checkpoint,
                               const QuantizeOptions& options, const BudgetOptions& budget);

/// Writes out_path. Files on the way are out_path.candidateN, for the N-th that is tried, and out_path.best.
/// An interrupted run leaves the candidate that it was writing, and the sensitivities: the same call with
/// options.resume measures no tensor again, makes and measures again the candidates that were finished, which
/// are the same, and goes on with the one that was not. usage error where a divergence cannot be reached, and
/// where another process is making out_path: it has out_path.lock, an empty file, while it does.
Result<BudgetResult> quantize_to_budget(const Context& context, const Checkpoint& checkpoint,
                                        const std::string& out_path, const QuantizeOptions& options,
                                        const BudgetOptions& budget);

}  // namespace carat
