// carat report: cards, what distinguishes them and what a policy says of it, as one HTML page.
#include <fmt/chrono.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "arch/open_model.h"
#include "base/file_name.h"
#include "cards/card_file.h"
#include "cli/card_options.h"
#include "cli/format.h"
#include "cli/verb.h"
#include "containers/quote.h"
#include "evaluate/machine.h"
#include "evaluate/staleness.h"
#include "gates/gate.h"
#include "report/report.h"

namespace carat {
namespace {

struct Options {
  std::vector<std::string> cards;
  std::string baseline, policy, output, store, suite;
};

/// For cards that do not have the errors of the weights. Whatever is wrong with the file, the card stands
/// without.
void add_tensor_errors(ReportEntry& entry) {
  if (entry.card.provenance.contains("tensors") || !entry.stale.empty()) return;
  const auto checkpoint = open_model(entry.card.variant.model);
  if (checkpoint) entry.card.provenance["tensors"] = tensor_errors(*checkpoint);
}

/// What is to be on the page: the baseline once, the others in the order they were named.
Result<ReportInput> load(const Options& options, const ChosenSuite& chosen) {
  ReportInput input;
  std::vector<std::string> names = options.cards;
  const std::string baseline = options.baseline.empty() ? names.front() : options.baseline;
  std::erase(names, baseline);
  if (names.size() >= kMostReportedVariants)
    return usage_error("a report shows at most {} variants, and {} were named", kMostReportedVariants,
                       names.size() + 1);
  CARAT_TRY(input.baseline, load_card(baseline, options.store, chosen.name));
  // Variants named without a number are those that sat the same exam.
  const std::string suite = chosen.name.empty() ? input.baseline.suite_digest : chosen.name;
  for (const std::string& name : names) {
    CARAT_TRY(Scorecard card, load_card(name, options.store, suite));
    if (input.baseline.run > 0 && card.run == input.baseline.run &&
        card.suite_digest == input.baseline.suite_digest &&
        card.variant.model_digest == input.baseline.variant.model_digest)
      continue;  // the baseline under its other name
    input.candidates.emplace_back().card = std::move(card);
  }
  return input;
}

/// Why the cards no longer hold; what could not be looked at, and unfinished runs, become notes.
Status find_stale(const Context& context, const std::string& store, std::string_view suite_digest,
                  ReportInput& input) {
  std::vector<const Scorecard*> cards{&input.baseline};
  for (const ReportEntry& entry : input.candidates) cards.push_back(&entry.card);
  CARAT_TRY(auto found, find_staleness(context, cards, suite_digest));
  input.baseline_stale = std::move(found[0].reasons);
  for (size_t i = 0; i < input.candidates.size(); ++i) {
    ReportEntry& entry = input.candidates[i];
    entry.stale = std::move(found[i + 1].reasons);
    for (auto* unknown : {&found[0].unknown, &found[i + 1].unknown})
      entry.comparison.notes.insert(entry.comparison.notes.end(), unknown->begin(), unknown->end());
    CARAT_DO(note_unfinished_runs(store, input.baseline, entry.comparison.notes));
    CARAT_DO(note_unfinished_runs(store, entry.card, entry.comparison.notes));
  }
  return {};
}

/// Why a policy cannot let anything pass, whatever the figures.
void add_obstacles(const Scorecard& card, const std::vector<std::string>& stale,
                   std::vector<std::string>& out) {
  for (const std::string& reason : stale) out.push_back(stale_sentence(card, reason));
  if (!card.complete) out.push_back(fmt::format("the card of {} is not complete", quote(card.variant.name)));
}

Status judge(const Policy* policy, const std::string& store, std::string_view suite_digest,
             const Context& context, ReportInput& input) {
  for (ReportEntry& entry : input.candidates) {
    CARAT_DO(context.check());
    CARAT_TRY(entry.comparison, compare_cards(input.baseline, entry.card));
  }
  CARAT_DO(find_stale(context, store, suite_digest, input));
  for (ReportEntry& entry : input.candidates) {
    CARAT_DO(context.check());
    if (policy) {
      std::vector<std::string> obstacles;
      add_obstacles(input.baseline, input.baseline_stale, obstacles);
      add_obstacles(entry.card, entry.stale, obstacles);
      for (const Surface& surface : policy->surfaces)
        entry.decisions.push_back(
            decide_surface(*policy, surface, {entry.comparison, input.baseline, entry.card, obstacles}));
    }
    add_tensor_errors(entry);
    entry.card.records = {};  // the page needs them no more, and there may be many
  }
  return {};
}

json::object summary_json(const Options& options, const ReportInput& input) {
  json::array variants;
  for (const ReportEntry& entry : input.candidates) {
    json::object verdicts;
    for (const SurfaceDecision& d : entry.decisions) verdicts[d.surface] = verdict_name(d.verdict);
    variants.push_back(
        {{"variant", entry.card.variant.name}, {"run", entry.card.run}, {"verdicts", verdicts}});
  }
  return {{"output", options.output},
          {"suite", input.baseline.suite},
          {"baseline", {{"variant", input.baseline.variant.name}, {"run", input.baseline.run}}},
          {"candidates", std::move(variants)}};
}

Status report(const Options& options, Invocation& run) {
  std::optional<Policy> policy;
  if (!options.policy.empty()) {
    CARAT_TRY(policy, read_policy(options.policy));
  }
  CARAT_TRY(const ChosenSuite suite, choose_suite(run.context, options.suite));
  CARAT_TRY(ReportInput input, load(options, suite));
  CARAT_DO(judge(policy ? &*policy : nullptr, options.store, suite.digest, run.context, input));
  if (policy) input.policy = file_name(policy->path);
  input.date = fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::chrono::system_clock::now()));
  CARAT_DO(write_whole_file(options.output, render_report(input)));
  if (run.console.json()) return run.console.print_json(summary_json(options, input));
  std::string text = fmt::format(
      "{}: {} against {}\n", options.output,
      input.candidates.size() == 1 ? "one variant" : fmt::format("{} variants", input.candidates.size()),
      printable(input.baseline.variant.name));
  for (const ReportEntry& entry : input.candidates)
    for (const SurfaceDecision& d : entry.decisions)
      text += fmt::format("  {} on {}: {}\n", printable(entry.card.variant.name), printable(d.surface),
                          verdict_name(d.verdict));
  return run.console.print(text);
}

VerbBody prepare(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("CARD", o->cards,
                 "Runs (number or variant's name) of the store, or cards in files (*.json); the first is\n"
                 "the baseline")
      ->type_name("...")
      ->required();
  app.add_option("--baseline", o->baseline, "What the others are compared with (default: the first CARD)")
      ->type_name("CARD");
  app.add_option("--policy", o->policy, "Judge by what this policy allows, TOML")->type_name("FILE");
  app.add_option("-o,--output", o->output, "The page to write, replaced as a whole (required)")
      ->type_name("FILE.html")
      ->required();
  add_suite_option(app, o->suite);
  add_store_option(app, o->store);
  return [o](Invocation& run) { return report(*o, run); };
}

}  // namespace

const Verb report_verb = {"report", "Show variants side by side on one HTML page",
                          "The page says which variant may be shipped, where each is worse than the "
                          "baseline, by how much and how sure\n"
                          "that is; it needs no network and no script. Its verdicts are those of `carat "
                          "gate`, which also records them.\n\n"
                          "Examples:\n"
                          "  carat report bf16 q8_0 q4_k_m --policy policies/default.toml -o report.html\n"
                          "  carat report --baseline 7 12 13 -o report.html\n"
                          "  carat report bf16.json q4_k_m.json -o report.html",
                          prepare};

}  // namespace carat
