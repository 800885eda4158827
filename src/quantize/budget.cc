#include "quantize/budget.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "containers/mapped_file.h"
#include "quantize/budget_problem.h"
#include "quantize/output_lock.h"
#include "quantize/scaled_source.h"
#include "quantize/work.h"
#include "stats/calibrate.h"
#include "stats/sequence_passes.h"

namespace carat {
namespace {

/// Files that are made at most, by goal.
constexpr size_t kMostRoundsForBytes = 3;
constexpr size_t kMostRoundsForDivergence = 6;
/// Sizes that differ by less are one and the same to a search for the smallest.
constexpr double kSameSize = 0.002;

std::string goal_words(const BudgetGoal& goal) {
  switch (goal.kind) {
    case BudgetGoal::Kind::file_bytes:
      return fmt::format("at most {} bytes", goal.bytes);
    case BudgetGoal::Kind::bits_per_weight:
      return fmt::format("at most {} bits per weight", goal.limit);
    default:
      return fmt::format("the smallest file whose mean KL is at most {}", goal.limit);
  }
}

/// Files that disappear unless they become the output. Each round has a name of its own, so that what a run
/// left of one is taken over in no other.
class FilesOnTheWay {
 public:
  explicit FilesOnTheWay(const std::string& out) : best(best_of(out)), out_(out) {}
  /// What a round has not finished stays for a resume, unless the search has come to its end.
  ~FilesOnTheWay() {
    for (const std::string& file : names(out_))
      if (ended_ || (!file.ends_with(".partial") && !file.ends_with(".journal"))) remove(file);
  }

  std::string candidate(size_t round) const { return candidate_of(out_, round); }
  void end() { ended_ = true; }

  /// They are removed in the end, so that none may be there before: it would be a file of the source, another
  /// of the user's, or what an unfinished run has left, which `leave` is given for.
  static Status check(const Checkpoint& checkpoint, const std::string& out, bool leave) {
    for (const std::string& file : names(out)) {
      if (is_one_of(file, checkpoint.files))
        return usage_error("{} is a file of the source, and this run would remove it; choose another output",
                           file);
      std::error_code ignored;
      if (!leave && std::filesystem::exists(std::filesystem::symlink_status(file, ignored)))
        return usage_error(
            "{} is there already, perhaps from an unfinished run, and this run would remove it: go on with "
            "that one (--resume), throw it away (--force), or move it",
            file);
    }
    return {};
  }
  FilesOnTheWay(const FilesOnTheWay&) = delete;
  FilesOnTheWay& operator=(const FilesOnTheWay&) = delete;

  static Status move(const std::string& from, const std::string& to) {
    std::error_code failed;
    std::filesystem::rename(from, to, failed);
    if (failed) return error(Code::io, "{}: cannot become {}: {}", from, to, failed.message());
    return {};
  }
  static void remove(const std::string& file) {
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
  }

  const std::string best;

 private:
  static std::string best_of(const std::string& out) { return out + ".best"; }
  static std::string candidate_of(const std::string& out, size_t round) {
    return fmt::format("{}.candidate{}", out, round + 1);
  }
  static std::vector<std::string> names(const std::string& out) {
    std::vector<std::string> all = {best_of(out)};
    for (size_t round = 0; round < kMostRoundsForDivergence; ++round)
      for (const char* ending : {"", ".partial", ".journal"})
        all.push_back(candidate_of(out, round) + ending);
    return all;
  }

  const std::string out_;
  bool ended_ = false;
};

/// A search under way.
class Search {
 public:
  /// `run` is the checkpoint before factors were multiplied in, which stay beside matrices where it is run.
  Search(const Context& context, const Checkpoint& run, const Checkpoint& checkpoint,
         const QuantizeOptions& options, const BudgetOptions& budget)
      : context_(context),
        run_(run),
        checkpoint_(checkpoint),
        options_(options),
        goal_(budget.goal),
        budget_(budget) {}

  /// Text divided, limits checked, sensitivities at hand.
  Status prepare() {
    if (!budget_.text)
      return usage_error("a budget needs calibration text to measure on; give one with --text FILE");
    CARAT_TRY(const ModelConfig config, read_model_config(checkpoint_));
    CARAT_DO(check_calibration_text(checkpoint_.source, config, *budget_.text));
    CARAT_TRY(text_, divide_text(*budget_.text));
    CARAT_TRY(method_, parse_method(options_.method));
    for (const Transform* transform : method_.transforms)
      if (!transform->needs_statistics())
        return usage_error(
            "a budget is found for the tensors of the source, which '{}' makes others of; quantize with it "
            "to a recipe",
            transform->name());
    options_.text = method_.uses_text() ? &text_.files : nullptr;
    CARAT_TRY(problem_, BudgetProblem::make(checkpoint_, options_));
    CARAT_DO(check_goal());
    CARAT_DO(problem_->measure(context_, run_, text_, budget_.sensitivities));
    return {};
  }

  Result<BudgetPlan> plan() {
    CARAT_TRY(BudgetChoice choice, first_choice());
    BudgetPlan out;
    out.recipe = choice.found.recipe;
    out.rule_file = rule_file(choice, nullptr);
    out.plan = std::move(choice.plan);
    out.predicted_kl = choice.predicted_kl;
    out.measured_tensors = problem_->measured_tensors();
    out.known_tensors = problem_->known_tensors();
    return out;
  }

  Result<BudgetResult> run(const std::string& out_path) {
    FilesOnTheWay files(out_path);
    auto result = search(out_path, files);
    if (result || (result.error().code != Code::interrupted && result.error().code != Code::io)) files.end();
    return result;
  }

 private:
  Result<BudgetResult> search(const std::string& out_path, const FilesOnTheWay& files) {
    CARAT_DO(gather_statistics());
    CARAT_TRY(judge_, make_judge(context_, run_, text_.held_out, text_.probing));
    CARAT_TRY(BudgetChoice choice, first_choice());
    const bool for_divergence = goal_.kind == BudgetGoal::Kind::divergence;
    const size_t most = for_divergence ? kMostRoundsForDivergence : kMostRoundsForBytes;
    while (result_.rounds.size() < most) {
      const std::string candidate = files.candidate(result_.rounds.size());
      CARAT_DO(make_and_measure(choice, candidate, files.best));
      if (result_.rounds.size() == most) break;
      CARAT_DO(correct(choice, candidate));
      FilesOnTheWay::remove(candidate);
      std::optional<BudgetChoice> next;
      if (for_divergence) {
        CARAT_TRY(next, next_for_divergence());
      } else {
        CARAT_TRY(next, problem_->within(goal_));
      }
      if (!next || was_made(*next)) break;
      choice = *std::move(next);
    }
    if (!kept_)
      return usage_error("no file of {} rounds reached a mean KL of {}; the nearest had {:.5f} in {} bytes",
                         result_.rounds.size(), goal_.limit, nearest().measured_kl.mean, nearest().bytes);
    CARAT_DO(FilesOnTheWay::move(files.best, out_path));
    result_.kept = *kept_;
    result_.recipe = kept_choice_.found.recipe;
    result_.rule_file = rule_file(kept_choice_, &result_.rounds[*kept_]);
    result_.held_out_tokens = text_.held_out.tokens();
    result_.probing_tokens = text_.probing.tokens();
    result_.measured_tensors = problem_->measured_tensors();
    result_.known_tensors = problem_->known_tensors();
    return std::move(result_);
  }

  Status check_goal() {
    CARAT_TRY(const BudgetChoice least, problem_->smallest());
    const std::string_view with = options_.recipe.rules.empty() ? "" : " with the --tensor rules given";
    if (goal_.kind == BudgetGoal::Kind::file_bytes) {
      if (goal_.bytes < least.plan.output_bytes)
        return usage_error(
            "a budget of {} bytes is too small: the smallest file that {} can become{} has {} bytes",
            goal_.bytes, checkpoint_.source, with, least.plan.output_bytes);
      if (goal_.bytes > checkpoint_.file_bytes)
        return usage_error(
            "a budget of {} bytes is more than the {} that {} has itself; there is nothing to save",
            goal_.bytes, checkpoint_.file_bytes, checkpoint_.source);
    }
    if (goal_.kind == BudgetGoal::Kind::bits_per_weight) {
      double bits = 0, weights = 0;
      for (const Tensor& t : checkpoint_.tensors) {
        bits += 8.0 * static_cast<double>(t.bytes());
        weights += static_cast<double>(t.elements());
      }
      if (goal_.limit < least.plan.bits_per_weight)
        return usage_error(
            "{} bits per weight are too few: the smallest file that {} can become{} has {:.4f}", goal_.limit,
            checkpoint_.source, with, least.plan.bits_per_weight);
      if (goal_.limit > bits / weights)
        return usage_error(
            "{} bits per weight are more than the {:.4f} that {} has itself; there is nothing to save",
            goal_.limit, bits / weights, checkpoint_.source);
    }
    return {};
  }

  /// Once for all files, where each would make the same of the text.
  Status gather_statistics() {
    if (!method_.transforms.empty() || options_.calibration || !method_.uses_statistics()) return {};
    CalibrateOptions how;
    how.activations = options_.activations;
    CARAT_TRY(Calibration made, calibrate(context_, checkpoint_, text_.files, how));
    options_.calibration = std::make_shared<const CalibrationStatistics>(std::move(made.statistics));
    return {};
  }

  Result<BudgetChoice> first_choice() const {
    return goal_.kind == BudgetGoal::Kind::divergence ? problem_->for_divergence(goal_.limit)
                                                      : problem_->within(goal_);
  }

  Status make_and_measure(const BudgetChoice& choice, const std::string& candidate, const std::string& best) {
    QuantizeOptions o = options_;
    o.recipe = choice.found.recipe;
    // What is there of a search for another budget is of no use to this one.
    o.discard_partial = true;
    auto report = quantize(context_, checkpoint_, candidate, o);
    if (!report) {
      if (report.error().code == Code::interrupted) return error(Code::interrupted, "interrupted");
      return std::move(report).error();
    }
    context_.progress.begin("divergence on held-out text", "models", 2);
    auto kl = judge_->held_out(context_, candidate);
    context_.progress.end();
    if (!kl) return std::move(kl).error();
    result_.rounds.push_back({report->output_bytes, choice.predicted_kl, *kl});
    const BudgetRound& made = result_.rounds.back();
    context_.progress.note(fmt::format("file {}: {} bytes, KL predicted {:.5f}, measured {:.5f} +- {:.5f}",
                                       result_.rounds.size(), made.bytes, made.predicted_kl,
                                       made.measured_kl.mean, made.measured_kl.standard_error));
    if (is_better(made)) {
      kept_ = result_.rounds.size() - 1;
      kept_choice_ = choice;
      result_.report = *std::move(report);
      std::error_code failed;
      std::filesystem::remove(best, failed);
      std::filesystem::create_hard_link(candidate, best, failed);
      if (failed)
        std::filesystem::copy_file(candidate, best, std::filesystem::copy_options::overwrite_existing,
                                   failed);
      if (failed) return error(Code::io, "{}: cannot be written: {}", best, failed.message());
    }
    return {};
  }

  bool is_better(const BudgetRound& made) const {
    const bool serves = goal_.kind != BudgetGoal::Kind::divergence || made.measured_kl.mean <= goal_.limit;
    if (!serves || !kept_) return serves;
    const BudgetRound& kept = result_.rounds[*kept_];
    return goal_.kind == BudgetGoal::Kind::divergence ? made.bytes < kept.bytes
                                                      : made.measured_kl.mean < kept.measured_kl.mean;
  }

  const BudgetRound& nearest() const {
    return *std::ranges::min_element(result_.rounds, {},
                                     [](const BudgetRound& r) { return r.measured_kl.mean; });
  }

  bool was_made(const BudgetChoice& choice) const {
    return std::ranges::any_of(made_,
                               [&](const std::vector<size_t>& m) { return m == choice.allocation.chosen; });
  }

  /// From the file just made. Parts are corrected once, from the first: their shares change little after
  /// that.
  Status correct(const BudgetChoice& choice, const std::string& file) {
    made_.push_back(choice.allocation.chosen);
    std::map<std::string, double> measured;
    if (made_.size() == 1 && method_.transforms.empty()) {
      const auto parts = problem_->parts(choice);
      std::vector<TensorGroup> groups;
      for (const auto& [part, tensors] : parts) groups.push_back(tensors);
      CARAT_TRY(const std::vector<double> shares, judge_->shares(context_, file, groups));
      size_t at = 0;
      for (const auto& [part, tensors] : parts) measured[part] = shares[at++];
    }
    problem_->correct(choice, measured, result_.rounds.back().measured_kl.mean);
    return {};
  }

  /// What to try after the files made so far; nothing where the smallest is found, or where there is none.
  Result<std::optional<BudgetChoice>> next_for_divergence() {
    const BudgetRound* fails = nullptr;  // the largest that does, and the smallest that serves
    const BudgetRound* serves = nullptr;
    for (const BudgetRound& r : result_.rounds) {
      const bool good = r.measured_kl.mean <= goal_.limit;
      if (good && (!serves || r.bytes < serves->bytes)) serves = &r;
      if (!good && (!fails || r.bytes > fails->bytes)) fails = &r;
    }
    CARAT_TRY(BudgetChoice next, problem_->for_divergence(goal_.limit));
    const auto inside = [&](uint64_t bytes) {
      return (!fails || bytes > fails->bytes) && (!serves || bytes < serves->bytes);
    };
    if (serves && fails &&
        static_cast<double>(serves->bytes - std::min(serves->bytes, fails->bytes)) <=
            kSameSize * static_cast<double>(serves->bytes))
      return std::optional<BudgetChoice>();
    if (inside(next.plan.output_bytes)) return std::optional(std::move(next));
    CARAT_TRY(const BudgetChoice least, problem_->smallest());
    CARAT_TRY(const BudgetChoice most, problem_->largest());
    const uint64_t low = fails ? fails->bytes : least.plan.output_bytes;
    const uint64_t high = serves ? serves->bytes : most.plan.output_bytes;
    if (high <= low) {
      if (serves) return std::optional<BudgetChoice>();
      return usage_error(
          "a mean KL of {} cannot be reached: even with every tensor that no rule fixes at its best it is "
          "{:.5f} on the held-out text",
          goal_.limit, nearest().measured_kl.mean);
    }
    BudgetGoal middle{BudgetGoal::Kind::file_bytes, low + (high - low) / 2, 0};
    CARAT_TRY(next, problem_->within(middle));
    if (!inside(next.plan.output_bytes)) return std::optional<BudgetChoice>();
    return std::optional(std::move(next));
  }

  std::string rule_file(const BudgetChoice& choice, const BudgetRound* made) const {
    std::string comment =
        fmt::format("Found by carat {} for a budget: {}.\nPredicted KL {:.5f} nats per token", CARAT_VERSION,
                    goal_words(goal_), choice.predicted_kl);
    if (made)
      comment +=
          fmt::format(", measured {:.5f} +- {:.5f}\n({} tokens of calibration text held out from all else)",
                      made->measured_kl.mean, made->measured_kl.standard_error, text_.held_out.tokens());
    comment += fmt::format(".\nMethod {}; {} bytes, {:.4f} bits per weight.\n",
                           options_.method.empty() ? method_.rounder->name() : options_.method,
                           choice.plan.output_bytes, choice.plan.bits_per_weight);
    return format_rule_file(choice.found.recipe, comment, choice.found.comments);
  }

  const Context& context_;
  const Checkpoint& run_;
  const Checkpoint& checkpoint_;
  QuantizeOptions options_;
  Method method_;
  const BudgetGoal goal_;
  const BudgetOptions& budget_;
  DividedText text_;
  std::optional<BudgetProblem> problem_;
  std::unique_ptr<Judge> judge_;
  BudgetResult result_;
  std::vector<std::vector<size_t>> made_;  ///< choices of the rounds
  std::optional<size_t> kept_;
  BudgetChoice kept_choice_;
};

}  // namespace

Result<BudgetPlan> plan_budget(const Context& context, const Checkpoint& checkpoint,
                               const QuantizeOptions& options, const BudgetOptions& budget) {
  CARAT_TRY(const Checkpoint source, scaled_source(checkpoint, options.allow_requantize));
  Search search(context, checkpoint, source, options, budget);
  CARAT_DO(search.prepare());
  return search.plan();
}

Result<BudgetResult> quantize_to_budget(const Context& context, const Checkpoint& checkpoint,
                                        const std::string& out_path, const QuantizeOptions& options,
                                        const BudgetOptions& budget) {
  CARAT_DO(check_output(checkpoint, out_path));
  CARAT_TRY(const OutputLock lock, OutputLock::take(out_path));
  CARAT_DO(FilesOnTheWay::check(checkpoint, out_path, options.resume || options.discard_partial));
  CARAT_TRY(const Checkpoint source, scaled_source(checkpoint, options.allow_requantize));
  Search search(context, checkpoint, source, options, budget);
  CARAT_DO(search.prepare());
  return search.run(out_path);
}

}  // namespace carat
