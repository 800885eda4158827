// GPTQ: what a column loses is made up for by those after it (kernels/generic/feedback_rows.h).
#include "rounders/gptq.h"

#include <functional>

#include "rounders/block_rows.h"
#include "rounders/input_drift.h"

namespace carat {
namespace {

class Gptq final : public Rounder {
 public:
  std::string_view name() const override { return "gptq"; }
  bool supports(const Encoding& e) const override { return e.can_decode() && !e.is_float; }
  bool uses_importance() const override { return false; }  // the Hessian has it
  bool needs_feedback() const override { return true; }

  Result<RoundingError> round(const Context& context, const KernelTable& kernels, const Encoding& e,
                              const SourceRows& source, const ColumnGuide& guide,
                              uint8_t* out) const override {
    if (!guide.feedback)
      return usage_error(
          "method gptq rounds by what the inputs of each matrix have in common, and nothing is known of "
          "them: give "
          "it calibration text (--text FILE), or use a method without data (search, nearest)");
    CARAT_DO(check_shared(e, guide));
    const FeedbackFactor& f = *guide.feedback;
    if (f.columns != source.columns)
      return usage_error("the Hessian has {} columns and the matrix {}: it was made for another one",
                         f.columns, source.columns);
    if (f.block != 0 && (f.block != e.block || f.leaf != e.leaf))
      return error(Code::internal, "the factor keeps blocks of {} and leaves of {} together, {} has others",
                   f.block, f.leaf, e.name);
    if (e.atom > 1 && !f.order.empty())
      return usage_error("{} columns of {} share a code: method gptq rounds them in their natural order only",
                         e.atom, e.name);
    const SearchTable& table = search_table(kernels.isa);
    const size_t encoding = search_position(e);
    const FeedbackRows feedback = table.feedback[encoding];
    if (!feedback) return usage_error("method gptq cannot write {}", e.name);
    // Where columns count alike the search has a shorter way.
    const bool alike = std::ranges::adjacent_find(f.weight, std::not_equal_to()) == f.weight.end();
    const std::vector<float> weight = alike ? std::vector<float>() : normalised_importance(f.weight);
    std::vector<int32_t> position(f.order.size());
    for (size_t p = 0; p < f.order.size(); ++p)
      position[static_cast<size_t>(f.order[p])] = static_cast<int32_t>(p);
    const int64_t scratch_bytes = table.feedback_scratch[encoding](source.columns);
    TaskScratch scratch(context.pool.threads());
    std::vector<float> moved;
    if (guide.drift) {
      CARAT_TRY(moved, weights_for_drift(context, kernels, f, *guide.drift, source));
    }
    return round_in_tasks(
        context, kernels, e, source, guide.importance, kFeedbackRows, out, [&](const RowsTask& task) {
          double cost[kFeedbackRows];
          feedback({.weights = moved.empty() ? task.weights : moved.data() + task.first * source.columns,
                    .rows = task.rows,
                    .columns = source.columns,
                    .slices = f.slices.data(),
                    .weight = weight.empty() ? nullptr : weight.data(),
                    .order = f.order.empty() ? nullptr : f.order.data(),
                    .position = f.order.empty() ? nullptr : position.data(),
                    .grouped = f.block != 0,
                    .scratch = scratch.of(task.thread, scratch_bytes),
                    .out = task.out,
                    .cost = cost,
                    .groups = shape_of(e, source.columns),
                    .row_bytes = static_cast<int64_t>(e.row_bytes(source.columns)),
                    .scale = e.shared_rows == 1 ? nullptr : guide.scale.data(),
                    .zero = e.shared_rows == 1 ? nullptr : guide.zero.data()});
          for (int64_t r = 0; r < task.rows; ++r) task.errors[r].feedback_error = f.unit * cost[r];
        });
  }
};

}  // namespace

const Rounder& gptq_rounder() {
  static const Gptq rounder;
  return rounder;
}

}  // namespace carat
