// carat compare: what changed between two variants on the same items.
#include <cmath>
#include <memory>

#include "cli/checks.h"
#include "cli/format.h"
#include "cli/two_cards.h"
#include "cli/verb.h"
#include "gates/documents.h"

namespace carat {
namespace {

struct Options {
  TwoCardsOptions cards;
  bool all = false;
  int64_t flips = 5;
};

std::string number(double v) { return std::isinf(v) ? (v < 0 ? "-inf" : "inf") : fmt::format("{:.4f}", v); }

// Every metric of whole tasks, and of their slices the first one only, which is what decides by default.
bool shown(const Comparison& c, size_t i, bool all) {
  const SliceDifference& d = c.slices[i];
  if (all || d.slice.empty()) return true;
  const auto first = std::ranges::find(c.slices, d.task, &SliceDifference::task);
  return first->metric == d.metric;
}

std::string slice_line(const SliceDifference& d) {
  const std::string what = printable(d.slice.empty() ? d.task : "  " + d.slice);
  std::string out = fmt::format("{:<34} {:<10} ", clipped(what, 34), clipped(printable(d.metric), 10));
  if (d.items == 0)
    return out +
           fmt::format("nothing to compare: {} items in one only, {} in neither\n", d.missing, d.unscored);
  out += fmt::format(
      "{:>8} {:>9} {:>9} {:>19} {:>7.4f} {:>6}", number(d.baseline), number(d.candidate), number(d.damage),
      fmt::format("{} .. {}", number(d.interval.low), number(d.interval.high)), d.p_worse, d.items);
  if (d.binary) out += fmt::format("  {} wrong now, {} right now", d.worse, d.better);
  if (d.clusters < d.items) out += fmt::format("  in {} clusters", d.clusters);
  if (d.missing + d.unscored > 0) out += fmt::format("  ({} without a pair)", d.missing + d.unscored);
  return out + "\n";
}

std::string comparison_text(const Comparison& c, const Options& options) {
  std::string out = fmt::format("{} against {} on {} {}\n\n", printable(c.candidate), printable(c.baseline),
                                printable(c.suite), printable(c.suite_version));
  out += fmt::format("{:<34} {:<10} {:>8} {:>9} {:>9} {:>19} {:>7} {:>6}\n", "task and slice", "metric",
                     "baseline", "candidate", "worse by", "95 % interval", "p", "items");
  for (size_t i = 0; i < c.slices.size(); ++i)
    if (shown(c, i, options.all)) out += slice_line(c.slices[i]);
  const size_t flips = std::min(c.flips.size(), static_cast<size_t>(options.flips));
  if (flips > 0)
    out += fmt::format("\n{} items changed between right and wrong; {} of them:\n", c.flips.size(), flips);
  for (size_t i = 0; i < flips; ++i) {
    const Flip& f = c.flips[i];
    const auto text = [](const std::string& s) { return std::string(clipped(printable(s), 300)); };
    out +=
        fmt::format("\n{} now: {} {}\n  asked      {}\n  expected   {}\n  baseline   {}\n  candidate  {}\n",
                    f.worse ? "wrong" : "right", text(f.task), text(f.item), text(f.question),
                    text(f.expected), text(f.baseline_answer), text(f.candidate_answer));
  }
  return out;
}

Status compare(const Options& options, Invocation& run) {
  CARAT_TRY(const TwoCards cards, load_two_cards(run.context, options.cards));
  CARAT_TRY(Comparison comparison, compare_cards(cards.baseline, cards.candidate));
  comparison.notes.insert(comparison.notes.end(), cards.notes.begin(), cards.notes.end());
  CARAT_TRY(const std::vector<std::string> stale, stale_since(cards, run.context, comparison.notes));
  comparison.notes.insert(comparison.notes.end(), stale.begin(), stale.end());
  for (const std::string& note : comparison.notes) run.console.note(printable(note));
  if (run.console.json()) return run.console.print_json(to_json(comparison));
  return run.console.print(comparison_text(comparison, options));
}

VerbBody prepare(CLI::App& app) {
  auto o = std::make_shared<Options>();
  add_two_cards_options(app, o->cards);
  app.add_flag("--all", o->all, "Every metric of every slice (default: of slices the task's first metric)");
  app.add_option("--flips", o->flips, "Items that changed between right and wrong to show with their answers")
      ->capture_default_str()
      ->check(whole_number(0, 1 << 30))
      ->type_name("N");
  return [o](Invocation& run) { return compare(*o, run); };
}

}  // namespace

const Verb compare_verb = {
    "compare", "Compare two variants item by item, slice by slice",
    "Both must have sat the same suite. 'worse by' is positive where the candidate lost, whatever the\n"
    "direction of the metric; p is the chance to see that much where nothing changed. docs/gates.md has\n"
    "the formulas.\n\n"
    "Examples:\n"
    "  carat compare bf16 q4_k_m --suite basics\n"
    "  carat compare 7 12 --all --flips 50\n"
    "  carat compare bf16.json q4_k_m.json --json",
    prepare};

}  // namespace carat
