// What there is to choose from: the tensors of a model, their encodings, sizes and predicted costs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/context.h"
#include "quantize/budget.h"
#include "quantize/judge.h"
#include "quantize/method.h"
#include "recipes/allocator.h"
#include "recipes/sensitivities.h"

namespace carat {

/// A recipe for the budget, and what it would make.
struct BudgetChoice {
  Allocation allocation;
  double predicted_kl = 0;
  FoundRecipe found;
  QuantizePlan plan;
};

/// The calibration text by use (budget.h).
struct DividedText {
  CalibrationText held_out, probing;
  CalibrationText rounding;  ///< without both
  CalibrationText files;     ///< without the held-out one
};
/// Every n-th sequence, so that each part has some of every text. usage error where there are too few.
Result<DividedText> divide_text(const CalibrationText& text);

class BudgetProblem {
 public:
  /// Everything but the costs. The arguments stay where they are. usage errors of the user's rules.
  static Result<BudgetProblem> make(const Checkpoint& checkpoint, const QuantizeOptions& options);

  /// Measures what `store_path` does not have yet and takes the costs from it. What the method's rounder does
  /// alone is measured, on the source; what its transforms gain shows in the files. `run` is the checkpoint
  /// before factors were multiplied in (SensitivityOptions::run).
  Status measure(const Context& context, const Checkpoint& run, const DividedText& text,
                 const std::string& store_path);
  size_t measured_tensors() const { return measured_; }
  size_t known_tensors() const { return known_; }

  /// The cheapest mix for a goal of bytes or bits.
  Result<BudgetChoice> within(const BudgetGoal& goal) const;
  /// The smallest that is predicted to cost at most `kl`, or the one of least cost where none does.
  Result<BudgetChoice> for_divergence(double kl) const;
  /// Of the smallest and of the largest (every free tensor at its least cost).
  Result<BudgetChoice> smallest() const;
  Result<BudgetChoice> largest() const;

  /// By part, the tensors that are not as in the source.
  std::map<std::string, TensorGroup> parts(const BudgetChoice& choice) const;
  /// Corrects the costs of each part from what it was measured to cost beside the rest, and all of them so
  /// that `choice` is predicted to cost `whole`.
  void correct(const BudgetChoice& choice, const std::map<std::string, double>& measured, double whole);

 private:
  struct Item {
    size_t tensor = 0;
    bool pinned = false;
    std::string part;                        ///< "attn_v.weight"
    std::vector<const Encoding*> encodings;  ///< the tensor's own last, if it may stay
    std::vector<uint64_t> bytes;
    std::vector<double> costs;
    double scale = 1;
  };

  BudgetProblem(const Checkpoint& checkpoint, const QuantizeOptions& options)
      : checkpoint_(&checkpoint), options_(&options) {}
  std::vector<AllocationItem> items(uint64_t padding) const;
  Result<BudgetChoice> choice_of(Allocation allocation) const;
  QuantizeOptions options_with(Recipe recipe) const;
  const Rounder& rounder_of(size_t tensor) const;
  WalkFeedback feedback_measured() const;
  std::string method_words() const;

  const Checkpoint* checkpoint_;
  const QuantizeOptions* options_;
  Method method_;
  std::vector<bool> walked_;  ///< by tensor: the method rounds it, and not the default one
  std::vector<Item> items_;
  double all_scale_ = 1;
  size_t measured_ = 0, known_ = 0;
};

}  // namespace carat
