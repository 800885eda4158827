#include "quantize/budget_problem.h"

#include <algorithm>
#include <cmath>

#include "base/digest.h"
#include "containers/gguf_format.h"
#include "quantize/block_walker.h"
#include "quantize/provenance.h"
#include "quantize/sensitivity.h"
#include "quantize/sensitivity_store.h"
#include "stats/calibrate.h"

namespace carat {
namespace {

/// Of the text: an eighth judges the files, an eighth probes, but never more than these.
constexpr int64_t kShare = 8;
constexpr int64_t kMostHeldOutSequences = 8;
constexpr int64_t kMostProbingTokens = 2048;
/// How far one measurement may move a part's costs: the shares of small parts are mostly noise.
constexpr double kMostCorrection = 2;

CalibrationText chosen(const CalibrationText& text, const std::vector<bool>& wanted) {
  CalibrationText out;
  out.context = text.context;
  out.names = text.names;
  Sha256 digest;
  for (size_t i = 0; i < text.sequences.size(); ++i) {
    if (!wanted[i]) continue;
    const std::vector<TokenId>& s = text.sequences[i];
    digest.update(Bytes(reinterpret_cast<const uint8_t*>(s.data()), s.size() * sizeof(TokenId)));
    out.sequences.push_back(s);
  }
  out.digest = digest.hex();
  return out;
}

std::string digest_of(const CalibrationStatistics& statistics) {
  Sha256 digest;
  const auto add = [&](const std::vector<double>& values) {
    digest.update(Bytes(reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(double)));
  };
  for (const auto& [name, s] : statistics.tensors) {
    digest.update(fmt::format("{} {} {}\n", name, s.matrices, s.columns));
    add(s.counts);
    add(s.sum_squares);
  }
  return digest.hex();
}

/// "blk.3.attn_v.weight" plays the part "attn_v.weight".
std::string part_of(const std::string& name) {
  const size_t dot = name.starts_with("blk.") ? name.find('.', 4) : std::string::npos;
  return dot == std::string::npos ? name : name.substr(dot + 1);
}

/// What a goal of bytes or bits speaks of.
uint64_t used(const QuantizePlan& plan, BudgetGoal::Kind kind) {
  if (kind == BudgetGoal::Kind::file_bytes) return plan.output_bytes;
  uint64_t sum = 0;
  for (const TensorPlan& t : plan.tensors) sum += t.bytes;
  return sum;
}

/// Whether a rule's encoding can be measured, and needs to be.
bool loses_something(const Tensor& tensor, const Encoding& e, const Rounder& rounder) {
  return e.row_bytes(tensor.columns()) < tensor.row_bytes() && (e.is_float || rounder.supports(e));
}

}  // namespace

Result<DividedText> divide_text(const CalibrationText& text) {
  const auto n = static_cast<int64_t>(text.sequences.size());
  if (n < 3)
    return usage_error(
        "the calibration text holds {} sequence{} of {} tokens, and a budget takes at least 3: one to "
        "measure "
        "sensitivities on, one to judge the file on, one for the method; give more text or a smaller --ctx",
        n, n == 1 ? "" : "s", text.context);
  const int64_t held_out = std::clamp<int64_t>(n / kShare, 1, kMostHeldOutSequences);
  const int64_t probing =
      std::clamp<int64_t>(n / kShare, 1, std::max<int64_t>(1, kMostProbingTokens / text.context));
  // Spread evenly, each in its own half of every stretch.
  std::vector<bool> judges(static_cast<size_t>(n)), probes(judges), rounds(judges), files(judges);
  for (int64_t i = 0; i < held_out; ++i) judges[static_cast<size_t>((4 * i + 1) * n / (4 * held_out))] = true;
  for (int64_t i = 0; i < probing; ++i) {
    auto at = static_cast<size_t>((4 * i + 3) * n / (4 * probing));
    while (judges[at] || probes[at]) at = (at + 1) % static_cast<size_t>(n);
    probes[at] = true;
  }
  for (size_t i = 0; i < judges.size(); ++i) {
    files[i] = !judges[i];
    rounds[i] = !judges[i] && !probes[i];
  }
  return DividedText{chosen(text, judges), chosen(text, probes), chosen(text, rounds), chosen(text, files)};
}

Result<BudgetProblem> BudgetProblem::make(const Checkpoint& checkpoint, const QuantizeOptions& options) {
  BudgetProblem p(checkpoint, options);
  CARAT_TRY(p.method_, parse_method(options.method));
  p.walked_.assign(checkpoint.tensors.size(), true);
  if (p.method_.rounder->needs_feedback()) {
    CARAT_TRY(p.walked_, walked_tensors(checkpoint));
  }
  // A float base gives every tensor that no rule speaks of the same, and keeps what is never quantized.
  CARAT_TRY(Recipe rules, named_recipe("F16"));
  rules.rules = options.recipe.rules;
  const auto facts = read_model_facts(checkpoint.metadata);
  if (!facts) return Error(facts.error()).within(checkpoint.source);
  CARAT_TRY(
      const std::vector<TensorChoice> choices,
      assign_encodings(rules, *facts, tensor_facts(checkpoint), {.allow_fallback = options.allow_fallback}));
  for (size_t i = 0; i < choices.size(); ++i) {
    if (choices[i].kept) continue;
    const Tensor& t = checkpoint.tensors[i];
    Item item;
    item.tensor = i;
    item.pinned = choices[i].by_rule;
    item.part = part_of(t.name);
    if (item.pinned)
      item.encodings = {choices[i].encoding};
    else
      item.encodings = candidate_encodings(t, p.rounder_of(i));
    if (!item.pinned) item.encodings.push_back(t.encoding);
    for (const Encoding* e : item.encodings) {
      const auto bytes =
          e->checked_bytes(static_cast<uint64_t>(t.rows()), static_cast<uint64_t>(t.columns()));
      if (!bytes) return bad_data("{}: {} is too large", checkpoint.source, t.name);
      item.bytes.push_back(*bytes);
    }
    item.costs.resize(item.encodings.size());
    p.items_.push_back(std::move(item));
  }
  if (p.items_.empty()) return usage_error("{}: has no tensor to quantize", checkpoint.source);
  return p;
}

/// What no Hessian is known of, such as an embedding, gets the default method.
const Rounder& BudgetProblem::rounder_of(size_t tensor) const {
  return walked_[tensor] ? *method_.rounder : default_rounder();
}

/// A grouped order takes a factor for every encoding, and changes what they err by 3 %: not worth it here.
/// Matrices are measured one at a time, each with the inputs that it has in the source.
WalkFeedback BudgetProblem::feedback_measured() const {
  WalkFeedback o = options_->feedback;
  if (o.order == ColumnOrder::grouped) o.order = ColumnOrder::natural;
  o.propagate = 0;
  return o;
}

std::string BudgetProblem::method_words() const {
  std::string words = fmt::format("{} {}", method_.rounder->name(), kRounderRevision);
  if (method_.uses_text()) words += fmt::format(" through {}", activation_scheme_name(options_->activations));
  if (method_.rounder->needs_feedback()) words += " " + feedback_measured().words();
  return words;
}

Status BudgetProblem::measure(const Context& context, const Checkpoint& run, const DividedText& text,
                              const std::string& store_path) {
  const bool feedback = method_.rounder->needs_feedback();
  const bool own_statistics = !options_->calibration && method_.rounder->uses_importance();
  SensitivityOrigin origin;
  CARAT_TRY(origin.model, source_fingerprint(*checkpoint_));
  origin.method = method_words();
  origin.text = sha256_hex(fmt::format("{} {} {}", text.probing.context, text.probing.digest,
                                       feedback || own_statistics ? text.rounding.digest : ""));
  if (options_->calibration) origin.importance = digest_of(*options_->calibration);
  CARAT_TRY(SensitivityStore store, SensitivityStore::open(store_path, origin));

  std::vector<SensitivityTask> tasks;
  for (const Item& item : items_) {
    const Tensor& t = checkpoint_->tensors[item.tensor];
    const Rounder& rounder = rounder_of(item.tensor);
    SensitivityTask task{item.tensor, &rounder, candidate_encodings(t, rounder)};
    // A rule may ask for what the allocator does not choose from, such as INT4_G128.
    const Encoding& asked = *item.encodings.front();
    const bool asks_more =
        item.pinned && loses_something(t, asked, rounder) && !std::ranges::count(task.encodings, &asked);
    if (asks_more) task.encodings.push_back(&asked);
    const auto known = store.tensors().find(t.name);
    if (known != store.tensors().end() && (!asks_more || known->second.predicted_kl(asked))) {
      ++known_;
      continue;
    }
    if (item.pinned && &asked == t.encoding) continue;
    if (!task.encodings.empty()) tasks.push_back(std::move(task));
  }
  measured_ = tasks.size();
  SensitivityOptions how;
  how.run = &run;
  how.rounding = feedback ? &text.rounding : nullptr;
  how.probing = &text.probing;
  how.activations = options_->activations;
  how.feedback = feedback_measured();
  how.importance = options_->calibration.get();
  Calibration own;
  if (own_statistics && !tasks.empty()) {
    CalibrateOptions calibrating;
    calibrating.activations = options_->activations;
    CARAT_TRY(own, calibrate(context, *checkpoint_, text.rounding, calibrating));
    how.importance = &own.statistics;
  }
  CARAT_DO(measure_sensitivities(context, *checkpoint_, tasks, how,
                                 [&](TensorSensitivity t) { return store.add(std::move(t)); }));

  for (Item& item : items_) {
    const Tensor& t = checkpoint_->tensors[item.tensor];
    const auto known = store.tensors().find(t.name);
    for (size_t c = item.encodings.size(); c-- > 0;) {
      if (item.encodings[c] == t.encoding) continue;  // costs nothing
      const auto cost =
          known == store.tensors().end() ? std::nullopt : known->second.predicted_kl(*item.encodings[c]);
      if (cost) {
        item.costs[c] = *cost;
      } else if (!item.pinned) {  // its values do not fit; a rule's is taken to be one that loses nothing
        item.encodings.erase(item.encodings.begin() + static_cast<ptrdiff_t>(c));
        item.bytes.erase(item.bytes.begin() + static_cast<ptrdiff_t>(c));
        item.costs.erase(item.costs.begin() + static_cast<ptrdiff_t>(c));
      }
    }
  }
  return {};
}

std::vector<AllocationItem> BudgetProblem::items(uint64_t padding) const {
  std::vector<AllocationItem> out;
  for (const Item& item : items_) {
    AllocationItem choices;
    for (size_t c = 0; c < item.encodings.size(); ++c)
      choices.push_back(
          {(item.bytes[c] + padding - 1) / padding * padding, item.scale * all_scale_ * item.costs[c]});
    out.push_back(std::move(choices));
  }
  return out;
}

QuantizeOptions BudgetProblem::options_with(Recipe recipe) const {
  QuantizeOptions o = *options_;
  o.recipe = std::move(recipe);
  return o;
}

Result<BudgetChoice> BudgetProblem::choice_of(Allocation allocation) const {
  BudgetChoice choice;
  std::vector<FoundChoice> found;
  for (size_t i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    const size_t c = allocation.chosen[i];
    const Tensor& t = checkpoint_->tensors[item.tensor];
    if (!item.pinned)
      found.push_back({t.name, item.encodings[c], t.elements(), item.scale * all_scale_ * item.costs[c]});
  }
  choice.predicted_kl = allocation.cost;
  choice.allocation = std::move(allocation);
  CARAT_TRY(choice.found, found_recipe(options_->recipe.rules, found));
  CARAT_TRY(choice.plan, plan_quantize(*checkpoint_, options_with(choice.found.recipe)));
  return choice;
}

Result<BudgetChoice> BudgetProblem::smallest() const {
  const auto all = items(1);
  CARAT_TRY(Allocation a, allocate(all, smallest_bytes(all)));
  return choice_of(std::move(a));
}

Result<BudgetChoice> BudgetProblem::largest() const {
  const auto all = items(1);
  CARAT_TRY(Allocation a, allocate(all, largest_bytes(all)));
  return choice_of(std::move(a));
}

Result<BudgetChoice> BudgetProblem::within(const BudgetGoal& goal) const {
  uint64_t limit = goal.bytes, padding = gguf::default_alignment;
  if (goal.kind == BudgetGoal::Kind::file_bytes) {
    CARAT_TRY(padding, checkpoint_->metadata.unsigned_or("general.alignment", gguf::default_alignment));
  } else {
    uint64_t weights = 0;
    for (const Tensor& t : checkpoint_->tensors) weights += static_cast<uint64_t>(t.elements());
    limit = static_cast<uint64_t>(goal.limit * static_cast<double>(weights) / 8);
    padding = 1;
  }
  const auto all = items(padding);
  CARAT_TRY(Allocation a, allocate(all, smallest_bytes(all)));
  CARAT_TRY(BudgetChoice choice, choice_of(std::move(a)));
  // What a file takes besides these tensors depends, by the length of its rules, on the choices.
  for (int attempt = 0; attempt < 10; ++attempt) {
    const uint64_t bytes = used(choice.plan, goal.kind);
    if (attempt > 0 && bytes <= limit) return choice;
    const uint64_t besides = bytes - std::min(bytes, choice.allocation.bytes);
    CARAT_TRY(Allocation next, allocate(all, limit - std::min(limit, besides)));
    CARAT_TRY(choice, choice_of(std::move(next)));
  }
  return error(Code::internal, "no mix of {} bytes was found, although the smallest is smaller", limit);
}

Result<BudgetChoice> BudgetProblem::for_divergence(double kl) const {
  const auto all = items(gguf::default_alignment);
  auto a = allocate_within_cost(all, kl);
  if (!a) return largest();
  return choice_of(*std::move(a));
}

std::map<std::string, TensorGroup> BudgetProblem::parts(const BudgetChoice& choice) const {
  std::map<std::string, TensorGroup> out;
  for (size_t i = 0; i < items_.size(); ++i) {
    const Tensor& t = checkpoint_->tensors[items_[i].tensor];
    if (items_[i].encodings[choice.allocation.chosen[i]] != t.encoding) out[items_[i].part].push_back(t.name);
  }
  return out;
}

void BudgetProblem::correct(const BudgetChoice& choice, const std::map<std::string, double>& measured,
                            double whole) {
  const auto cost = [&](size_t i) {
    return items_[i].scale * all_scale_ * items_[i].costs[choice.allocation.chosen[i]];
  };
  std::map<std::string, double> predicted;
  double predicted_sum = 0, measured_sum = 0;
  for (size_t i = 0; i < items_.size(); ++i)
    if (measured.contains(items_[i].part)) predicted[items_[i].part] += cost(i), predicted_sum += cost(i);
  for (const auto& [part, kl] : measured) measured_sum += std::max(0.0, kl);
  if (predicted_sum > 0 && measured_sum > 0)
    for (Item& item : items_) {
      const auto at = measured.find(item.part);
      if (at == measured.end() || !(predicted[item.part] > 0)) continue;
      const double ratio = std::max(0.0, at->second) / measured_sum / (predicted[item.part] / predicted_sum);
      item.scale *= std::clamp(ratio, 1 / kMostCorrection, kMostCorrection);
    }
  double sum = 0;
  for (size_t i = 0; i < items_.size(); ++i) sum += cost(i);
  if (sum > 0 && whole > 0) all_scale_ *= whole / sum;
}

}  // namespace carat
