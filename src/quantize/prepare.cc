#include "quantize/prepare.h"

#include "quantize/block_walker.h"
#include "quantize/method.h"
#include "quantize/scaled_source.h"
#include "quantize/tied_embedding.h"
#include "stats/calibrate.h"

namespace carat {
namespace {

/// Order and metadata of what will be written, on which the plan's sizes depend.
Result<Checkpoint> lay_out(const Checkpoint& checkpoint, const Method& method, const QuantizeOptions& options,
                           std::vector<std::string>& notes) {
  CARAT_TRY(Checkpoint out, scaled_source(checkpoint, method, options, &notes));
  if (method.rounder->needs_feedback()) {
    CARAT_TRY(out, in_walking_order(std::move(out)));
  }
  for (const Transform* t : method.transforms) {
    CARAT_DO(t->lay_out(out));
    out.metadata.set(fmt::format("carat.transform.{}", t->name()),
                     Value::string(t->record(options.transforms)));
  }
  return out;
}

}  // namespace

Result<QuantizePlan> plan_quantize(const Checkpoint& checkpoint, const QuantizeOptions& options) {
  CARAT_TRY(const Method method, parse_method(options.method));
  std::vector<std::string> notes;
  CARAT_TRY(const Checkpoint laid_out, lay_out(checkpoint, method, options, notes));
  CARAT_TRY(Work work, plan_work(laid_out, options));
  work.plan.notes.insert(work.plan.notes.end(), notes.begin(), notes.end());
  return std::move(work.plan);
}

Result<Prepared> prepare_quantize(const Context& context, const Checkpoint& checkpoint,
                                  const QuantizeOptions& given) {
  CARAT_TRY(const Method method, parse_method(given.method));
  Prepared out;
  std::vector<std::string> notes;
  CARAT_TRY(out.checkpoint, lay_out(checkpoint, method, given, notes));
  CARAT_TRY(out.work, plan_work(out.checkpoint, given));
  out.work.plan.notes.insert(out.work.plan.notes.end(), notes.begin(), notes.end());

  if (method.transforms.empty() && (!given.text || given.calibration || !method.uses_statistics())) {
    CARAT_DO(weigh_tied_embedding(context, out.checkpoint, out.work));
    return out;
  }
  QuantizeOptions options = given;
  const QuantizePlan before = std::move(out.work.plan);

  TransformSubject subject;
  subject.checkpoint = std::move(out.checkpoint);
  std::unordered_map<std::string, const Encoding*> targets;
  for (const TensorPlan& t : before.tensors) targets[t.name] = t.to;
  subject.target = [&](const std::string& name) {
    const auto at = targets.find(name);
    return at == targets.end() ? nullptr : at->second;
  };
  subject.rounder = method.rounder->needs_feedback() ? &default_rounder() : method.rounder;
  // Transforms that need no statistics come first; what is calibrated is what they leave.
  auto next = method.transforms.begin();
  for (; next != method.transforms.end() && !(*next)->needs_statistics(); ++next)
    CARAT_DO((*next)->apply(context, options.transforms, subject));
  if (options.calibration) {
    subject.statistics = *options.calibration;
  } else if (options.text && method.uses_statistics()) {
    CalibrateOptions how;
    how.activations = options.activations;
    CARAT_TRY(Calibration calibration, calibrate(context, subject.checkpoint, *options.text, how));
    subject.statistics = std::move(calibration.statistics);
  }
  for (; next != method.transforms.end(); ++next)
    CARAT_DO((*next)->apply(context, options.transforms, subject));
  out.checkpoint = std::move(subject.checkpoint);
  out.notes = std::move(subject.notes);

  if (!subject.statistics.tensors.empty())
    options.calibration = std::make_shared<const CalibrationStatistics>(std::move(subject.statistics));
  options.allow_requantize = true;  // the first plan has asked; a transformed tensor reads as floats
  CARAT_TRY(out.work, plan_work(out.checkpoint, options));
  out.work.plan.notes.insert(out.work.plan.notes.end(), notes.begin(), notes.end());
  for (size_t i = 0; i < before.tensors.size(); ++i) out.work.plan.tensors[i].from = before.tensors[i].from;
  CARAT_DO(weigh_tied_embedding(context, out.checkpoint, out.work));
  return out;
}

}  // namespace carat
