// The heat map: what each candidate lost on each slice. Colour is how much, filled where it is sure and only
// an edge where it is not, so that a large difference on few items does not look like a finding. And KL,
// which sees what right and wrong answers hide.
#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "report/sections.h"

namespace carat {
namespace {

/// Slices shown before the rest is folded away; the worst come first.
constexpr size_t kOpenSlices = 30;

/// 0 to 5: below a quarter of a point, from there, from 1, 2.5, 5 and 10 points (or hundredths of a nat).
int step_of(double severity) {
  constexpr std::array<double, 5> kFrom = {0.25, 1, 2.5, 5, 10};
  return static_cast<int>(
      std::ranges::count_if(kFrom, [&](double from) { return std::abs(severity) >= from; }));
}

Markup cell(const SliceRow& row, size_t c) {
  const SliceDifference* d = row.damages[c];
  if (!d) return Markup("<td class=\"none\">not compared</td>");
  const Difference difference = difference_of(row, c);
  const bool sure = difference == Difference::worse || difference == Difference::better;
  const std::string style =
      fmt::format("{}{}{}", d->damage > 0 ? "w" : "b", step_of(severity(d->damage, row.unit, d->baseline)),
                  sure ? " sure" : "");
  return markup(
      "<td class=\"heat {}\" title=\"{} items, {} clusters, {} missing, adjusted "
      "{}\">{}<small>{}</small></td>",
      style, d->items, d->clusters, d->missing, p_text(row.p_adjusted[c]), damage_text(d->damage, row.unit),
      damage_interval(d->interval, row.unit));
}

std::string items_text(const SliceScore& s) {
  std::string out = fmt::format("{} items", s.value.items);
  if (s.unscored > 0) out += fmt::format(", {} unscored", s.unscored);
  if (s.failed > 0) out += fmt::format(", {} failed", s.failed);
  return out;
}

Markup table_row(const Evidence& e, const SliceRow& row) {
  Markup cells;
  for (size_t c = 0; c < e.candidates(); ++c) cells += cell(row, c);
  const SliceScore& s = *row.score;
  const std::string what =
      row.is_whole_task ? (s.dimension.empty() ? "" : s.dimension + ", ") + s.metric : s.task;
  const Markup name =
      row.is_whole_task ? markup("<b>{}</b>", shortened(s.task, 120)) : markup("{}", shortened(s.slice, 120));
  const Markup score = s.value.items > 0 ? markup("{}<small>{}</small>", score_text(s.value.mean, row.unit),
                                                  interval_text(s.value.interval, row.unit))
                                         : Markup("no score");
  return markup(
      "<tr><th scope=\"row\" dir=\"auto\">{} <small>{}, {}</small></th><td class=\"number\">{}</td>{}</tr>\n",
      name, shortened(what, 80), items_text(s), score, cells);
}

Markup slice_table(const Evidence& e, size_t from, size_t to) {
  Markup rows;
  for (size_t i = from; i < to; ++i) rows += table_row(e, e.rows[i]);
  return markup(
      "<div class=\"scroll\"><table class=\"slices\"><thead><tr><th>slice</th><th>{} "
      "score</th>{}</tr></thead><tbody>{}</tbody></table></div>",
      letter(0), variant_columns(e, false), rows);
}

Markup legend() {
  Markup out("<p class=\"legend\">better ");
  for (int step = 5; step > 0; --step) out += markup("<span class=\"heat sure b{}\">&#160;</span>", step);
  out += Markup("<span class=\"heat w0\">&#160;</span>");
  for (int step = 1; step <= 5; ++step) out += markup("<span class=\"heat sure w{}\">&#160;</span>", step);
  out += Markup(
      " worse: from 0.25, 1, 2.5, 5, 10 points (hundredths of a nat). <span class=\"heat sure w3\">filled, "
      "bold</span> sure; <span class=\"heat w3\">edge only</span> could be chance.</p>");
  return out;
}

std::string divergence_title(std::string_view metric) {
  return metric == "kl" ? "KL, nats per token" : "same most likely token, %";
}

Markup divergence_table(const Evidence& e, std::string_view metric) {
  std::vector<const SliceScore*> tasks;  // of the first card that has them
  std::set<std::string> seen;
  double largest = 0;
  for (size_t i = 1; i < e.cards.size(); ++i)
    for (const SliceScore& s : e.cards[i]->scores) {
      if (!s.slice.empty() || s.metric != metric || s.value.items == 0) continue;
      if (seen.insert(s.task).second) tasks.push_back(&s);
      if (std::isfinite(s.value.mean)) largest = std::max(largest, s.value.mean);
    }
  if (tasks.empty()) return {};
  const Unit unit = metric == "kl" ? Unit::nats : Unit::points;
  Markup rows;
  for (const SliceScore* task : tasks) {
    Markup cells;
    for (size_t i = 1; i < e.cards.size(); ++i) {
      const SliceScore* s = task_score(*e.cards[i], task->task, metric);
      if (!s || s->value.items == 0) {
        cells += Markup("<td class=\"none\">not measured</td>");
        continue;
      }
      const double share = largest > 0 && s->value.mean > 0 ? std::min(1.0, s->value.mean / largest) : 0;
      cells += markup(
          "<td class=\"number\">{}<small>{}</small><i class=\"meter v{}\" style=\"width:{:.0f}%\"></i></td>",
          score_text(s->value.mean, unit), interval_text(s->value.interval, unit), i % 8, 100 * share);
    }
    rows += markup("<tr><th scope=\"row\" dir=\"auto\"><b>{}</b> <small>{}</small></th>{}</tr>\n",
                   shortened(task->dimension.empty() ? task->task : task->dimension, 120),
                   shortened(task->dimension.empty() ? "" : task->task, 120), cells);
  }
  return markup(
      "<div class=\"scroll\"><table><thead><tr><th>{}</th>{}</tr></thead><tbody>{}</tbody></table></div>",
      divergence_title(metric), variant_columns(e, false), rows);
}

}  // namespace

Markup slices_section(const Evidence& e) {
  if (e.rows.empty()) return {};
  const auto whole = static_cast<size_t>(std::ranges::count(e.rows, true, &SliceRow::is_whole_task));
  Markup out = markup("<section><h2>{}</h2>",
                      e.candidates() == 0 ? "Scores by slice" : "Where it is worse, and how sure");
  if (e.candidates() > 0) {
    out += markup(
        "<p>Damage against the baseline on the same items: <b>positive is worse</b>, in percentage points "
        "(losses: in nats), with its 95 % interval. Whole tasks first, then slices, the worst first.</p>");
    out += legend();
  }
  const size_t open = std::min(e.rows.size(), whole + kOpenSlices);
  out += slice_table(e, 0, open);
  if (open < e.rows.size())
    out += markup("<details><summary>{} more slices</summary>{}</details>", e.rows.size() - open,
                  slice_table(e, open, e.rows.size()));
  out += Markup("</section>");
  return out;
}

Markup divergence_section(const Evidence& e) {
  Markup tables = divergence_table(e, "kl");
  tables += divergence_table(e, "same_top");
  if (tables.empty()) return {};
  return markup(
      "<section><h2>Divergence from the reference, by dimension</h2><p>How far the probabilities moved, "
      "whether or not "
      "an answer changed. 0 is no change.</p>{}</section>",
      tables);
}

}  // namespace carat
