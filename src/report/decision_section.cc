// The top of the page: what to do, and for each candidate why.
#include <algorithm>
#include <map>

#include "report/sections.h"

namespace carat {
namespace {

std::string letter_and_name(const Evidence& e, size_t card) {
  return fmt::format("{} ({})", letter(card), clipped_text(e.cards[card]->variant.name, 40));
}

std::string listed(const std::vector<std::string>& words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i)
    out += (i == 0 ? "" : i + 1 == words.size() ? " and " : ", ") + words[i];
  return out;
}

/// Verdicts of one surface: card numbers by verdict.
using SurfaceVerdicts = std::map<GateVerdict, std::vector<size_t>>;

std::string names(const Evidence& e, const std::vector<size_t>& cards) {
  std::vector<std::string> out;
  for (const size_t card : cards) out.push_back(letter_and_name(e, card));
  return listed(out);
}

Markup surface_sentence(const Evidence& e, const std::string& surface, const SurfaceVerdicts& verdicts) {
  std::vector<std::string> others;
  const auto add = [&](GateVerdict verdict, std::string_view one, std::string_view many) {
    const auto at = verdicts.find(verdict);
    if (at == verdicts.end()) return;
    others.push_back(fmt::format("{} {}", names(e, at->second), at->second.size() == 1 ? one : many));
  };
  add(GateVerdict::breach, "loses more than is allowed", "lose more than is allowed");
  add(GateVerdict::inconclusive, "is not decided yet", "are not decided yet");
  add(GateVerdict::no_headroom, "cannot be judged", "cannot be judged");
  const auto passing = verdicts.find(GateVerdict::pass);
  const std::string rest = others.empty() ? "" : listed(others) + ".";
  if (passing == verdicts.end())
    return markup("<p class=\"headline stop\">No variant is shown to be safe for “{}”: {}</p>", surface,
                  rest);
  const size_t best = *std::ranges::min_element(passing->second, {}, [&](size_t c) {
    const int64_t bytes = e.cards[c]->file_bytes;
    return bytes > 0 ? bytes : INT64_MAX;
  });
  const size_t count = passing->second.size();
  const std::string why = count == 1 ? "it alone passes" : fmt::format("the smallest of {} that pass", count);
  return markup("<p class=\"headline go\">Ship {} for “{}”: {}.</p><p class=\"rest\">{}</p>",
                letter_and_name(e, best), surface, why, rest);
}

Markup without_policy(const Evidence& e) {
  std::vector<std::string> worse, others;
  for (size_t c = 0; c < e.candidates(); ++c) {
    const Summary& s = e.summaries[c];
    if (s.worse > 0)
      worse.push_back(fmt::format("{} on {} of {} slices", letter_and_name(e, c + 1), s.worse, s.compared));
    else
      others.push_back(letter_and_name(e, c + 1));
  }
  std::string text = worse.empty() ? "" : "Surely worse than the baseline: " + listed(worse) + ". ";
  if (!others.empty())
    text += fmt::format(
        "On no slice surely worse: {}, which does not show that nothing was lost: see the intervals.",
        listed(others));
  return markup(
      "<p class=\"headline\">No policy was given, so nothing here says what may ship.</p>"
      "<p class=\"rest\">{}</p>",
      text);
}

/// "61.3 points worse on X (1.2 to 5.0; 210 items; p = 0.003)"
Markup worst_line(const Evidence& e, size_t c) {
  const Summary& s = e.summaries[c];
  if (!s.worst) return Markup("<p>Nothing could be compared with the baseline.</p>");
  const SliceDifference& d = *s.worst->damages[c];
  const Difference difference = difference_of(*s.worst, c);
  const bool is_loss = d.damage > 0;
  const std::string_view what = difference == Difference::worse ? "Worst, and sure:"
                                : is_loss                       ? "Largest loss seen, not sure:"
                                                                : "No slice lost; the least gain:";
  Markup out = markup(
      "<p>{} <b dir=\"auto\">{}</b>, from {} to {}: <b>{} {}</b> <span class=\"soft\">(95 % interval {}; {} "
      "items; "
      "adjusted {})</span></p>",
      what, shortened(s.worst->label(), 160), score_text(d.baseline, s.worst->unit),
      score_text(d.candidate, s.worst->unit), amount_text(std::abs(d.damage), s.worst->unit),
      is_loss ? "worse" : "better", damage_interval(d.interval, s.worst->unit), d.items,
      p_text(s.worst->p_adjusted[c]));
  out += markup(
      "<p>Surely worse on <b>{}</b> of {} slices, surely better on {}; on the other {} the difference cannot "
      "be "
      "told from none.</p>",
      s.worse, s.compared, s.better, s.compared - s.worse - s.better);
  return out;
}

Markup figures_line(const Evidence& e, size_t c) {
  const Summary& s = e.summaries[c];
  Markup out;
  const auto figure = [&](std::string_view name, const std::string& value) {
    out += markup("<div><dt>{}</dt><dd>{}</dd></div>", name, value);
  };
  const int64_t bytes = e.cards[c + 1]->file_bytes, baseline = e.input->baseline.file_bytes;
  if (bytes > 0)
    figure("size", baseline > 0
                       ? fmt::format("{}, {:.0f} % of the baseline", bytes_text(bytes),
                                     100.0 * static_cast<double>(bytes) / static_cast<double>(baseline))
                       : bytes_text(bytes));
  if (s.average_damage.items > 0)
    figure(
        "average",
        fmt::format("damage {} points ({}) over {} tasks", damage_text(s.average_damage.mean, Unit::points),
                    damage_interval(s.average_damage.interval, Unit::points), s.average_damage.items));
  if (s.paired_items > 0)
    figure("flips", fmt::format("{} right to wrong, {} wrong to right, of {} items", s.flips_worse,
                                s.flips_better, s.paired_items));
  return markup("<dl class=\"figures\">{}</dl>", out);
}

Markup decisions_of(const ReportEntry& entry) {
  Markup out;
  for (const SurfaceDecision& d : entry.decisions) {
    const VerdictWords w = words_of(d.verdict);
    out += markup("<p class=\"verdict {}\"><span>{} {}</span> for “{}”: {}.</p>", w.style, w.symbol, w.word,
                  d.surface, w.meaning);
    out += markup("<p dir=\"auto\">{}</p>", shortened(d.reason, 600));
  }
  return out;
}

}  // namespace

VerdictWords words_of(GateVerdict verdict) {
  switch (verdict) {
    case GateVerdict::pass:
      return {"✓", "PASS", "safe to ship", "pass"};
    case GateVerdict::breach:
      return {"✕", "BREACH", "do not ship", "breach"};
    case GateVerdict::no_headroom:
      return {"∅", "NO HEADROOM", "cannot be judged, the baseline itself has nothing to lose there", "open"};
    case GateVerdict::inconclusive:
      break;
  }
  return {"?", "INCONCLUSIVE", "not decided, too few items", "open"};
}

Markup headline(const Evidence& e) {
  if (e.candidates() == 0)
    return markup(
        "<p class=\"headline\">One variant, compared with nothing.</p><p class=\"rest\">Name more runs, or a "
        "--baseline, to see what was lost.</p>");
  std::vector<std::string> surfaces;
  std::map<std::string, SurfaceVerdicts> verdicts;
  for (size_t c = 0; c < e.candidates(); ++c)
    for (const SurfaceDecision& d : e.candidate(c).decisions) {
      if (!verdicts.contains(d.surface)) surfaces.push_back(d.surface);
      verdicts[d.surface][d.verdict].push_back(c + 1);
    }
  if (surfaces.empty()) return without_policy(e);
  Markup out;
  for (const std::string& surface : surfaces) out += surface_sentence(e, surface, verdicts[surface]);
  return out;
}

Markup variants_section(const Evidence& e) {
  Markup out;
  for (size_t c = 0; c < e.candidates(); ++c) {
    const ReportEntry& entry = e.candidate(c);
    Markup body = decisions_of(entry);
    body += worst_line(e, c);
    body += figures_line(e, c);
    for (const std::string& reason : entry.stale)
      body += markup("<p class=\"stale\">⚠ Stale: {}.</p>", reason);
    if (!entry.card.complete)
      body += Markup("<p class=\"stale\">⚠ Not complete: items of the suite are missing.</p>");
    for (const std::string& note : entry.comparison.notes)
      body += markup("<p class=\"note\" dir=\"auto\">{}</p>", shortened(note, 400));
    out += markup("<section class=\"variant\"><h2>{}</h2>{}</section>", variant_tag(e, c + 1, 60), body);
  }
  if (out.empty()) return out;
  return markup("<div class=\"variants\">{}</div>", out);
}

}  // namespace carat
