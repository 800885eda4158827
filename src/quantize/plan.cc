// Decides everything before the first byte is written.
#include <fmt/ranges.h>

#include <algorithm>

#include "containers/gguf.h"
#include "quantize/block_walker.h"
#include "quantize/method.h"
#include "quantize/provenance.h"
#include "quantize/scaled_source.h"
#include "quantize/work.h"

namespace carat {
namespace {

/// Float targets have no codes to choose: they are rounded to nearest whatever the method.
Result<const Rounder*> rounder_for(const Rounder* method, const TensorPlan& t) {
  if (t.to->is_float) {
    const Rounder* nearest = find_rounder("nearest");
    return nearest ? Result(nearest) : error(Code::internal, "there is no rounder named nearest");
  }
  if (method->supports(*t.to)) return method;
  return usage_error("the method '{}' cannot write {}, which {} gets; choose another --method or encoding",
                     method->name(), t.to->name, t.name);
}

/// Sizes of the tensors, once every one's encoding is known.
Status measure(const Checkpoint& checkpoint, QuantizePlan& plan) {
  double bits = 0, weights = 0;
  for (TensorPlan& t : plan.tensors) {
    std::optional<uint64_t> rows = 1;
    for (size_t i = 0; rows && i + 1 < t.shape.size(); ++i)
      rows = checked_mul(*rows, static_cast<uint64_t>(t.shape[i]));
    const uint64_t columns = t.shape.empty() ? 1 : static_cast<uint64_t>(t.shape.back());
    const auto bytes = rows ? t.to->checked_bytes(*rows, columns) : std::nullopt;
    if (!bytes)
      return bad_data("{}: {} has a shape that {} cannot hold: {}", checkpoint.source, t.name, t.to->name,
                      fmt::join(t.shape, " x "));
    t.bytes = *bytes;
    bits += 8.0 * static_cast<double>(t.bytes);
    weights += static_cast<double>(*rows) * static_cast<double>(columns);
  }
  plan.bits_per_weight = weights > 0 ? bits / weights : 0;
  plan.input_bytes = checkpoint.file_bytes;
  if (checkpoint.container == "huggingface" && checkpoint.metadata.has("carat.import.left_out")) {
    CARAT_TRY(const auto* left, checkpoint.metadata.strings_at("carat.import.left_out"));
    plan.notes.push_back(fmt::format("not carried: {}", fmt::join(*left, ", ")));
  }
  return {};
}

/// And of the GGUF file that holds them.
Status measure_gguf(const Checkpoint& checkpoint, Work& work) {
  QuantizePlan& plan = work.plan;
  CARAT_DO(measure(checkpoint, plan));
  std::vector<PlannedTensor> planned;
  for (const TensorPlan& t : plan.tensors) planned.push_back({t.name, t.shape, t.to});
  plan.metadata = output_metadata(checkpoint, work);
  if (const auto left = sidecars_left_out(checkpoint); !left.empty())
    plan.notes.push_back(
        fmt::format("not carried, because GGUF has no place for them: {}", fmt::join(left, ", ")));
  const auto bytes = gguf_file_size(plan.metadata, planned);
  if (!bytes) return Error(bytes.error()).within(checkpoint.source);
  plan.output_bytes = *bytes;
  return {};
}

/// Which columns matter in the tensors that lose something, and which of those nothing is known about.
Status plan_importance(const Checkpoint& checkpoint, const QuantizeOptions& options, Work& work) {
  const CalibrationStatistics& statistics = *options.calibration;
  std::vector<std::string_view> without;
  work.importance.resize(checkpoint.tensors.size());
  for (size_t i = 0; i < checkpoint.tensors.size(); ++i) {
    if (!work.rounders[i] || work.plan.tensors[i].to->is_float) continue;
    const Tensor& t = checkpoint.tensors[i];
    CARAT_TRY(work.importance[i], importance_of(checkpoint, t, statistics));
    if (work.importance[i].empty()) without.push_back(t.name);
    const auto unseen = std::ranges::count_if(work.importance[i], [](const auto& m) { return m.empty(); });
    if (unseen > 0 && !options.allow_fallback)
      return usage_error(
          "{}: {} of its {} experts saw no calibration token, so that nothing says which of their columns "
          "matter; "
          "calibrate on more text, or give leave to count their columns alike with --allow-fallback",
          t.name, unseen, work.importance[i].size());
    if (unseen > 0)
      work.plan.notes.push_back(
          fmt::format("{}: {} of {} experts saw no calibration token; their columns "
                      "count alike",
                      t.name, unseen, work.importance[i].size()));
  }
  if (!without.empty())
    work.plan.notes.push_back(
        fmt::format("no statistics, so that all columns count alike: {}", fmt::join(without, ", ")));
  // Of statistics made from the text, the record of the text says all.
  if (!options.calibration_file.empty())
    work.calibration = calibration_record(checkpoint, options.calibration_file, statistics, work.importance);
  return {};
}

/// What cannot do without importance has some.
Status check_importance(const QuantizeOptions& options, const Work& work) {
  if (options.calibration || options.text || options.hessians) return {};
  std::vector<const TensorPlan*> needy;
  for (size_t i = 0; i < work.plan.tensors.size(); ++i) {
    const TensorPlan& t = work.plan.tensors[i];
    if (work.rounders[i] && requires_importance(options.recipe.name, t.name, *t.to)) needy.push_back(&t);
  }
  if (needy.empty()) return {};
  return usage_error(
      "{} to {}{}: at so few bits weights are worth nothing unless it is known which columns matter. Give "
      "calibration text with --text FILE and --method gptq or awq+gptq, or make statistics with `carat "
      "calibrate "
      "MODEL --text FILE -o STATS` and give them with --calibration STATS",
      needy.front()->name, needy.front()->to->name,
      needy.size() > 1 ? fmt::format(" (and {} more tensors)", needy.size() - 1) : "");
}

/// Columns that share a code are not rounded in an order of their own.
Status check_order(const Work& work) {
  if (work.feedback.order == ColumnOrder::natural) return {};
  for (size_t i = 0; i < work.plan.tensors.size(); ++i) {
    const TensorPlan& t = work.plan.tensors[i];
    if (work.rounders[i] && work.rounders[i]->needs_feedback() && t.to->atom > 1)
      return usage_error(
          "{} columns of {} share a code, so that {} cannot be rounded in {} order; leave out --order",
          t.to->atom, t.to->name, t.name, column_order_name(work.feedback.order));
  }
  return {};
}

/// What the method needs to know is there, and nothing that it would not look at.
Status check_data(const Method& method, const QuantizeOptions& options) {
  if (method.rounder->needs_feedback() && !options.text && !options.hessians)
    return usage_error(
        "the method '{}' needs calibration text; give one with --text FILE, or --hessians FILE from `carat "
        "calibrate --hessians`",
        method.rounder->name());
  if (options.hessians && !method.rounder->needs_feedback())
    return usage_error(
        "the method '{}' makes no use of Hessians; leave out --hessians, or choose --method gptq",
        method.rounder->name());
  if (options.feedback.propagate > 0 && !method.rounder->needs_feedback())
    return usage_error(
        "--propagate is for methods with error feedback: leave it out, or let the method end in gptq, "
        "as in --method awq+gptq");
  if (!(options.feedback.propagate >= 0 && options.feedback.propagate <= 1))
    return usage_error("weights make up for a share of 0 to 1 of what was lost, not {}",
                       options.feedback.propagate);
  if (options.hessians && options.feedback.propagate > 0)
    return usage_error(
        "--propagate follows what rounding does to the inputs of each matrix, which the Hessians of "
        "--hessians do not know; give --text FILE instead");
  if (options.hessians && options.text)
    return usage_error("--text and --hessians say the same in two ways; leave out one of them");
  if (options.hessians && !method.transforms.empty())
    return usage_error("the Hessians of --hessians are of the model before '{}'; give --text FILE instead",
                       method.transforms.front()->name());
  for (const Transform* transform : method.transforms)
    if (transform->needs_statistics() && !options.text && !options.calibration)
      return usage_error(
          "the method '{}' needs to know what the matrices read; give --text FILE, or --calibration "
          "STATS from `carat calibrate`",
          transform->name());
  for (const Transform* transform : method.transforms)
    if (!transform->needs_statistics() && options.calibration && !options.text)
      return usage_error(
          "the statistics of --calibration are of the model before '{}'; give --text FILE instead",
          transform->name());
  if (options.text && !method.uses_text())
    return usage_error(
        "the method '{}' makes no use of calibration text; leave out --text, or choose a --method "
        "that looks at data, such as gptq",
        method.rounder->name());
  if (options.calibration && !method.uses_statistics())
    return usage_error("the method '{}' does not look at importance; leave out --calibration, or --method",
                       method.rounder->name());
  return {};
}

}  // namespace

Result<std::vector<TensorChoice>> choose_encodings(const Checkpoint& checkpoint,
                                                   const QuantizeOptions& options) {
  const auto facts = read_model_facts(checkpoint.metadata);
  if (!facts) return Error(facts.error()).within(checkpoint.source);
  return assign_encodings(options.recipe, *facts, tensor_facts(checkpoint),
                          {.calibrated = options.calibration || options.text || options.hessians,
                           .allow_fallback = options.allow_fallback});
}

Result<Work> plan_work(const Checkpoint& checkpoint, const QuantizeOptions& options) {
  CARAT_TRY(const Method chosen, parse_method(options.method));
  const Rounder* method = chosen.rounder;
  CARAT_DO(check_data(chosen, options));
  CARAT_TRY(const std::vector<TensorChoice> choices, choose_encodings(checkpoint, options));
  std::vector<bool> walked(checkpoint.tensors.size(), true);
  if (method->needs_feedback()) {
    CARAT_TRY(walked, walked_tensors(checkpoint));
  }
  Work work;
  work.text = options.text;
  work.hessians = options.hessians;
  work.activations = options.activations;
  work.feedback = options.feedback;
  work.guided = method->needs_feedback();
  work.allow_unseen = options.allow_fallback;
  work.recipe = options.recipe.name;
  work.file_type = options.recipe.file_type;
  for (const EncodingRule& r : options.recipe.rules) work.rules.push_back(format_tensor_rule(r));
  work.method = "copy";
  for (size_t i = 0; i < choices.size(); ++i) {
    const Tensor& source = checkpoint.tensors[i];
    const TensorChoice& choice = choices[i];
    TensorPlan t{source.name, source.shape, source.encoding, choice.encoding, "copy", choice.reason, 0};
    const Rounder* rounder = nullptr;
    if (t.from != t.to) {
      if (!t.from->can_decode())
        return bad_data("{}: {} is {}, which carat carries but cannot decode", checkpoint.source, t.name,
                        t.from->name);
      if (!t.from->is_float && !t.to->is_float && !options.allow_requantize)
        return would_requantize(checkpoint, t.name, *t.from, t.to->name);
      // What no Hessian is known of, such as an embedding, gets the default method.
      CARAT_TRY(rounder, rounder_for(walked[i] ? method : &default_rounder(), t));
      t.method = rounder->name();
      if (work.method == "copy" || !t.to->is_float) work.method = t.method;
    }
    if (choice.wanted)
      work.plan.fallbacks.push_back(
          fmt::format("{}: {} instead of {}, whose blocks of {} do not divide its {} columns", t.name,
                      t.to->name, choice.wanted->name, choice.wanted->block, t.shape.back()));
    work.plan.tensors.push_back(std::move(t));
    work.rounders.push_back(rounder);
  }
  CARAT_DO(check_importance(options, work));
  CARAT_DO(check_order(work));
  std::vector<const Encoding*> rounded;
  for (size_t i = 0; i < work.rounders.size(); ++i)
    if (work.rounders[i]) rounded.push_back(work.plan.tensors[i].to);
  if (std::string warning = low_bit_warning(options.recipe.name, rounded); !warning.empty())
    work.plan.notes.push_back(std::move(warning));
  if (options.calibration) CARAT_DO(plan_importance(checkpoint, options, work));
  CARAT_DO(measure_gguf(checkpoint, work));
  return work;
}

Result<Work> plan_copy(const Checkpoint& checkpoint) {
  Work work;
  work.recipe = "copy";
  work.method = "copy";
  for (const Tensor& t : checkpoint.tensors)
    work.plan.tensors.push_back({t.name, t.shape, t.encoding, t.encoding, "copy", "as it is", 0});
  work.rounders.resize(checkpoint.tensors.size());
  CARAT_DO(measure_gguf(checkpoint, work));
  return work;
}

Result<Work> plan_floats(const Checkpoint& checkpoint, const Encoding& encoding) {
  Work work;
  work.recipe = encoding.name;
  work.method = "nearest";
  for (const Tensor& t : checkpoint.tensors) {
    const bool stays = t.encoding == &encoding || !t.encoding->can_decode();
    TensorPlan plan{t.name, t.shape, t.encoding, stays ? t.encoding : &encoding, "copy", "converted", 0};
    const Rounder* rounder = nullptr;
    if (!stays) {
      CARAT_TRY(rounder, rounder_for(nullptr, plan));
      plan.method = rounder->name();
    }
    work.plan.tensors.push_back(std::move(plan));
    work.rounders.push_back(rounder);
  }
  CARAT_DO(measure(checkpoint, work.plan));
  return work;
}

}  // namespace carat
