// What the policy asked, rule by rule, and the items whose answers changed.
#include <algorithm>
#include <cmath>

#include "report/sections.h"

namespace carat {
namespace {

/// Rules shown before the rest is folded away: what did not pass, within bounds. They come worst first.
constexpr size_t kFewestRules = 4, kMostRules = 12;
constexpr size_t kMostFlips = 8;          // of a candidate
constexpr size_t kLongestFlipText = 700;  // bytes of a text

/// Of a rule on latency, memory or cost nothing is known but numbers.
Unit unit_of(const SliceDifference& d) {
  return d.task.empty() ? Unit::plain : carat::unit_of(d.metric, std::max(d.baseline, d.candidate));
}

Markup rule_row(const GateResult& r) {
  const VerdictWords w = words_of(r.verdict);
  const SliceDifference& d = r.difference;
  const Unit unit = unit_of(d);
  std::string reason = shortened(r.reason, 400);
  if (r.items_needed > 0) reason += fmt::format(" About {} items would decide.", r.items_needed);
  return markup(
      "<tr><td class=\"verdict {}\">{} {}</td><th scope=\"row\" dir=\"auto\">{}<small>{}{}</small></th><td "
      "class=\"number\">{}"
      "<small>{}</small></td><td class=\"number\">{}</td><td class=\"number\">{}</td><td "
      "dir=\"auto\">{}</td></tr>\n",
      w.style, w.symbol, w.word, shortened(r.subject, 160), r.tier,
      d.items > 0 ? fmt::format(", {} items", d.items) : "", damage_text(d.damage, unit),
      damage_interval(d.interval, unit), amount_text(r.margin, unit), p_text(r.p_adjusted), reason);
}

Markup rule_table(const std::vector<GateResult>& results, size_t from, size_t to) {
  Markup rows;
  for (size_t i = from; i < to; ++i) rows += rule_row(results[i]);
  return markup(
      "<div class=\"scroll\"><table "
      "class=\"rules\"><thead><tr><th>verdict</th><th>slice</th><th>damage</th><th>"
      "allowed</th><th>adjusted p</th><th>reason</th></tr></thead><tbody>{}</tbody></table></div>",
      rows);
}

Markup text_block(std::string_view name, std::string_view text) {
  if (text.empty()) return {};
  return markup("<div class=\"text\"><h4>{}</h4><div class=\"model\" dir=\"auto\">{}</div></div>", name,
                shortened(text, kLongestFlipText));
}

Markup flip_block(const Evidence& e, size_t c, const Flip& f) {
  Markup out = markup(
      "<article class=\"flip\"><h3><span class=\"verdict {}\">{}</span> <span dir=\"auto\">{}</span></h3>",
      f.worse ? "breach" : "pass", f.worse ? "right → wrong" : "wrong → right",
      shortened(f.task + (f.slice.empty() ? "" : " · " + f.slice) + " · item " + f.item, 200));
  out += text_block("question", f.question);
  out += text_block("expected", f.expected);
  const auto answer = [&](size_t card, const std::string& text) {
    return markup("<div class=\"text\"><h4>{}</h4><div class=\"model\" dir=\"auto\">{}</div></div>",
                  variant_tag(e, card, 40), text.empty() ? "(nothing)" : shortened(text, kLongestFlipText));
  };
  out += markup("<div class=\"pair\">{}{}</div></article>\n", answer(0, f.baseline_answer),
                answer(c + 1, f.candidate_answer));
  return out;
}

}  // namespace

Markup policy_section(const Evidence& e) {
  Markup out;
  for (size_t c = 0; c < e.candidates(); ++c)
    for (const SurfaceDecision& d : e.candidate(c).decisions) {
      const VerdictWords w = words_of(d.verdict);
      out += markup("<h3>{} on “{}”: <span class=\"verdict {}\">{} {}</span></h3>", variant_tag(e, c + 1, 40),
                    d.surface, w.style, w.symbol, w.word);
      const auto unpassed = static_cast<size_t>(std::ranges::count_if(
          d.results, [](const GateResult& r) { return r.verdict != GateVerdict::pass; }));
      const size_t open = std::min(d.results.size(), std::clamp(unpassed, kFewestRules, kMostRules));
      out += rule_table(d.results, 0, open);
      if (open < d.results.size())
        out += markup("<details><summary>{} more rules</summary>{}</details>", d.results.size() - open,
                      rule_table(d.results, open, d.results.size()));
    }
  if (out.empty()) return out;
  return markup(
      "<section><h2>The policy, rule by rule</h2><p>{}A rule passes when even the upper end of the damage's "
      "interval is within what is allowed, and is breached when even its lower end is "
      "beyond.</p>{}</section>",
      e.input->policy.empty() ? "" : "From " + e.input->policy + ". ", out);
}

Markup flips_section(const Evidence& e) {
  Markup out;
  for (size_t c = 0; c < e.candidates(); ++c) {
    const std::vector<Flip>& flips = e.candidate(c).comparison.flips;
    if (flips.empty()) continue;
    const auto worse = std::ranges::count(flips, true, &Flip::worse);
    Markup blocks;
    for (size_t i = 0; i < std::min(flips.size(), kMostFlips); ++i) blocks += flip_block(e, c, flips[i]);
    out += markup("<h3>{}: {} right to wrong, {} wrong to right{}</h3>{}", variant_tag(e, c + 1, 60), worse,
                  flips.size() - static_cast<size_t>(worse),
                  flips.size() > kMostFlips ? fmt::format("; {} are shown", kMostFlips) : "", blocks);
  }
  if (out.empty()) return out;
  return markup(
      "<section><h2>Answers that changed</h2><p>Texts are as the models wrote them, cut where "
      "long.</p>{}</section>",
      out);
}

}  // namespace carat
