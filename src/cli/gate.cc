// carat gate: whether what a variant lost is within a policy. Exit codes 0, 1 and 2 are its answer.
#include <cmath>
#include <cstdlib>
#include <memory>

#include "cards/card_file.h"
#include "cards/store.h"
#include "cli/format.h"
#include "cli/two_cards.h"
#include "cli/verb.h"
#include "containers/quote.h"
#include "gates/documents.h"

namespace carat {
namespace {

constexpr int kBreached = 1, kInconclusive = 2;

struct Options {
  TwoCardsOptions cards;
  std::string policy, author, junit, markdown;
  std::vector<std::string> surfaces;
  bool allow_stale = false, dry_run = false;
};

std::string user_name() {
  for (const char* key : {"USER", "LOGNAME"})
    if (const char* name = std::getenv(key); name && *name) return name;
  return "unknown";
}

Result<std::vector<const Surface*>> chosen_surfaces(const Policy& policy,
                                                    const std::vector<std::string>& names) {
  std::vector<const Surface*> out;
  for (const Surface& s : policy.surfaces)
    if (names.empty()) out.push_back(&s);
  for (const std::string& name : names) {
    const auto at = std::ranges::find(policy.surfaces, name, &Surface::name);
    if (at == policy.surfaces.end()) {
      std::string known;
      for (const Surface& s : policy.surfaces) known += (known.empty() ? "" : ", ") + s.name;
      return usage_error("{} has no surface {}, only {}", policy.path, quote(name), known);
    }
    out.push_back(&*at);
  }
  return out;
}

json::object card_json(const Scorecard& card) {
  return {{"run", card.run > 0 ? json::value(card.run) : json::value(nullptr)},
          {"variant", card.variant.name},
          {"model", card.variant.model},
          {"model_digest", card.variant.model_digest}};
}

std::string number(double v) { return std::isinf(v) ? (v < 0 ? "-inf" : "inf") : fmt::format("{:.4g}", v); }

std::string decision_text(const SurfaceDecision& d) {
  std::string out =
      fmt::format("{}: {}\n  {}\n", printable(d.surface), verdict_name(d.verdict), printable(d.reason));
  out += fmt::format("  {:<13} {:<9} {:<34} {:<10} {:>9} {:>9} {:>21} {:>9} {:>7}\n", "verdict", "tier",
                     "what", "metric", "baseline", "candidate", "worse by (95 %)", "allowed", "p adj");
  for (const GateResult& r : d.results) {
    const std::string what = (r.stand_in ? "  " : "") + printable(r.subject);
    out += fmt::format(
        "  {:<13} {:<9} {:<34} {:<10} {:>9} {:>9} {:>21} {:>9} {:>7.4f}\n", verdict_name(r.verdict), r.tier,
        clipped(what, 34), clipped(printable(r.difference.metric), 10), number(r.difference.baseline),
        number(r.difference.candidate),
        fmt::format("{} .. {}", number(r.difference.interval.low), number(r.difference.interval.high)),
        number(r.margin), r.p_adjusted);
    if (r.verdict == GateVerdict::pass) continue;
    out += fmt::format("      {}", printable(r.reason));
    if (r.items_needed > 0) out += fmt::format(" (about {} items would decide)", r.items_needed);
    out += "\n";
  }
  return out;
}

Status record(const Options& options, const TwoCards& cards, const Policy& policy,
              const std::vector<SurfaceDecision>& decisions, const std::vector<std::string>& stale) {
  CARAT_TRY(const auto store, Store::open(options.cards.store));
  for (const SurfaceDecision& d : decisions) {
    Decision out;
    out.baseline = cards.baseline.run, out.candidate = cards.candidate.run;
    out.surface = d.surface, out.verdict = verdict_name(d.verdict), out.reason = d.reason;
    out.author = options.author, out.policy_digest = policy.digest;
    out.details = to_json(d);
    out.details["policy"] = policy.path;
    out.details["suite_digest"] = cards.candidate.suite_digest;
    out.details["baseline_card"] = card_json(cards.baseline);
    out.details["candidate_card"] = card_json(cards.candidate);
    out.details["stale"] = json::value_from(stale);
    CARAT_DO(store->add_decision(out));
  }
  return {};
}

std::vector<std::string> incomplete(const TwoCards& cards) {
  std::vector<std::string> out;
  for (const Scorecard* card : {&cards.baseline, &cards.candidate})
    if (!card->complete)
      out.push_back(fmt::format("the card of {} is not complete; `carat evaluate` goes on with it",
                                quote(card->variant.name)));
  return out;
}

int exit_status(GateVerdict verdict) {
  return verdict == GateVerdict::pass ? 0 : verdict == GateVerdict::breach ? kBreached : kInconclusive;
}

Status gate(const Options& options, Invocation& run) {
  CARAT_TRY(const Policy policy, read_policy(options.policy));
  CARAT_TRY(const auto surfaces, chosen_surfaces(policy, options.surfaces));
  CARAT_TRY(const TwoCards cards, load_two_cards(run.context, options.cards));
  CARAT_TRY(Comparison comparison, compare_cards(cards.baseline, cards.candidate));
  comparison.notes.insert(comparison.notes.end(), cards.notes.begin(), cards.notes.end());
  CARAT_TRY(const std::vector<std::string> stale, stale_since(cards, run.context, comparison.notes));
  comparison.notes.insert(comparison.notes.end(), stale.begin(), stale.end());
  for (const std::string& note : comparison.notes) run.console.note(printable(note));

  std::vector<std::string> obstacles = incomplete(cards);
  if (!options.allow_stale) obstacles.insert(obstacles.end(), stale.begin(), stale.end());
  std::vector<SurfaceDecision> decisions;
  for (const Surface* s : surfaces) {
    CARAT_DO(run.context.check());
    decisions.push_back(decide_surface(policy, *s, {comparison, cards.baseline, cards.candidate, obstacles}));
  }
  if (!options.dry_run) {
    CARAT_DO(record(options, cards, policy, decisions, stale));
    if (!options.junit.empty()) CARAT_DO(write_whole_file(options.junit, junit_document(decisions)));
    if (!options.markdown.empty())
      CARAT_DO(write_whole_file(options.markdown, markdown_document(comparison, decisions)));
  }

  const GateVerdict verdict = overall_verdict(decisions);
  if (run.console.json()) {
    json::array out;
    for (const SurfaceDecision& d : decisions) out.push_back(to_json(d));
    CARAT_DO(run.console.print_json({{"verdict", verdict_name(verdict)},
                                     {"baseline", card_json(cards.baseline)},
                                     {"candidate", card_json(cards.candidate)},
                                     {"suite", comparison.suite},
                                     {"suite_version", comparison.suite_version},
                                     {"suite_digest", comparison.suite_digest},
                                     {"policy", {{"path", policy.path}, {"digest", policy.digest}}},
                                     {"author", options.author},
                                     {"stale", json::value_from(stale)},
                                     {"surfaces", std::move(out)},
                                     {"notes", json::value_from(comparison.notes)}}));
  } else {
    std::string text = fmt::format("{} against {} on {} {}: {}\n", printable(comparison.candidate),
                                   printable(comparison.baseline), printable(comparison.suite),
                                   printable(comparison.suite_version), verdict_name(verdict));
    for (const SurfaceDecision& d : decisions) text += "\n" + decision_text(d);
    CARAT_DO(run.console.print(text));
  }
  run.exit_status = exit_status(verdict);
  return {};
}

VerbBody prepare(CLI::App& app) {
  auto o = std::make_shared<Options>();
  o->author = user_name();
  add_two_cards_options(app, o->cards);
  app.add_option("--policy", o->policy, "What may be lost, TOML (required)")->required()->type_name("FILE");
  app.add_option("--surface", o->surfaces, "Only this surface of the policy; may be given several times")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_option("--author", o->author, "Who decides, for the store (default: $USER)")->type_name("NAME");
  app.add_flag("--allow-stale", o->allow_stale,
               "Decide even if the program, a model or the suite has changed since the cards were made");
  app.add_option("--junit", o->junit, "Also write the decision as JUnit XML")->type_name("FILE");
  app.add_option("--markdown", o->markdown, "Also write it as Markdown, for a pull request")
      ->type_name("FILE");
  app.add_flag("--dry-run", o->dry_run, "Decide and write nothing, neither to the store nor to files");
  return [o](Invocation& run) { return gate(*o, run); };
}

}  // namespace

const Verb gate_verb = {
    "gate", "Decide whether what a variant lost is within a policy",
    "A slice passes when the loss is shown to be within its margin, and is a breach when it is shown to be\n"
    "beyond; everything else is inconclusive, with the number of items that would decide. docs/gates.md\n"
    "describes policies and formulas. The decision goes to the store with its reason and author.\n\n"
    "Exit codes of the decision: 0 pass, 1 breach, 2 inconclusive (or stale, incomplete, missing).\n\n"
    "Examples:\n"
    "  carat gate bf16 q4_k_m --suite basics --policy policies/default.toml\n"
    "  carat gate bf16.json q4_k_m.json --policy p.toml --junit gate.xml --markdown gate.md",
    prepare};

}  // namespace carat
