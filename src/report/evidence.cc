#include "report/evidence.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "gates/metrics.h"
#include "statistics/corrections.h"

namespace carat {
namespace {

double shown(double x, Unit unit) { return unit == Unit::points ? 100 * x : x; }
int decimals(Unit unit) { return unit == Unit::points ? 1 : is_loss(unit) ? 4 : 2; }

std::string number(double x, Unit unit) {
  if (std::isnan(x)) return "?";
  if (std::isinf(x)) return x > 0 ? "∞" : "−∞";
  const std::string text = fmt::format("{:.{}f}", std::abs(shown(x, unit)), decimals(unit));
  const bool is_zero = text.find_first_not_of("0.") == std::string::npos;
  return x < 0 && !is_zero ? "−" + text : text;
}

std::string key_of(std::string_view task, std::string_view slice, std::string_view metric) {
  return fmt::format("{}\x1f{}\x1f{}", task, slice, metric);
}

/// By task: the metric listed first, which is the one that counts.
std::map<std::string, std::string> first_metrics(const Scorecard& card) {
  std::map<std::string, std::string> out;
  for (const SliceScore& s : card.scores)
    if (s.slice.empty()) out.emplace(s.task, s.metric);
  return out;
}

double half_width(Interval i) { return (i.high - i.low) / 2; }

/// Each of independent means counting the same; intervals of 95 % taken for normal.
MeanEstimate average(const std::vector<MeanEstimate>& means) {
  MeanEstimate out;
  double variance = 0;
  for (const MeanEstimate& m : means) {
    out.mean += m.mean;
    variance += half_width(m.interval) * half_width(m.interval);
  }
  const auto n = static_cast<double>(means.size());
  if (means.empty()) return out;
  out.mean /= n;
  const double half = std::sqrt(variance) / n;
  out.interval = {out.mean - half, out.mean + half};
  out.standard_error = half / 1.96;
  out.items = static_cast<int64_t>(means.size());
  return out;
}

/// The least damage that is sure, where there is one; else the estimate, behind all that are sure.
std::pair<bool, double> rank_of(const SliceRow& row, size_t c) {
  const SliceDifference* d = row.damages[c];
  if (!d) return {false, -HUGE_VAL};
  const bool sure = difference_of(row, c) == Difference::worse;
  return {sure, severity(sure ? d->interval.low : d->damage, row.unit, d->baseline)};
}
std::pair<bool, double> worst_rank(const SliceRow& row) {
  std::pair<bool, double> worst{false, -HUGE_VAL};
  for (size_t c = 0; c < row.damages.size(); ++c) worst = std::max(worst, rank_of(row, c));
  return worst;
}

Summary summarize(const Evidence& evidence, size_t c) {
  Summary s;
  std::vector<MeanEstimate> damages;
  for (const SliceRow& row : evidence.rows) {
    const SliceDifference* d = row.damages[c];
    if (!d) continue;
    ++s.compared;
    const Difference difference = difference_of(row, c);
    s.worse += difference == Difference::worse;
    s.better += difference == Difference::better;
    if (!s.worst || rank_of(row, c) > rank_of(*s.worst, c)) s.worst = &row;
    if (!row.is_whole_task) continue;
    if (d->binary) {
      s.flips_worse += d->worse;
      s.flips_better += d->better;
      s.paired_items += d->items;
    }
    if (row.unit == Unit::points) damages.push_back({d->damage, 0, d->interval, d->items, d->clusters});
  }
  s.average_damage = average(damages);
  return s;
}

}  // namespace

Unit unit_of(std::string_view metric, double mean) {
  const MetricFacts* facts = find_metric(metric);
  if (metric == "bits_per_byte") return Unit::bits;
  if (facts && !facts->share) return facts->higher_is_better ? Unit::plain : Unit::nats;
  return facts || (mean >= 0 && mean <= 1) ? Unit::points : Unit::plain;
}

std::string score_text(double score, Unit unit) {
  return number(score, unit) + (unit == Unit::points ? " %" : "");
}
std::string interval_text(Interval i, Unit unit) {
  return number(i.low, unit) + " to " + number(i.high, unit);
}
std::string damage_text(double damage, Unit unit) {
  const std::string text = number(damage, unit);
  const bool is_positive = damage > 0 && text.find_first_of("123456789∞") != std::string::npos;
  return is_positive ? "+" + text : text;
}
std::string damage_interval(Interval i, Unit unit) {
  return damage_text(i.low, unit) + " to " + damage_text(i.high, unit);
}
std::string amount_text(double amount, Unit unit) {
  switch (unit) {
    case Unit::points:
      return number(amount, unit) + " points";
    case Unit::nats:
      return number(amount, unit) + " nats";
    case Unit::bits:
      return number(amount, unit) + " bits per byte";
    case Unit::plain:
      break;
  }
  return number(amount, unit);
}

std::string p_text(double p) { return p < 0.001 ? "p < 0.001" : fmt::format("p = {:.3f}", p); }

double severity(double damage, Unit unit, double baseline) {
  const double scale = unit == Unit::plain ? 0.01 * std::max(1e-9, std::abs(baseline)) : 0.01;
  return damage / scale;
}

std::string SliceRow::label() const {
  return score->slice.empty() ? score->task : score->task + " · " + score->slice;
}

Difference difference_of(const SliceRow& row, size_t c) {
  const SliceDifference* d = row.damages[c];
  if (!d) return Difference::unknown;
  if (row.p_adjusted[c] < kLevel) return Difference::worse;
  return d->interval.high < 0 ? Difference::better : Difference::unsure;
}

std::string letter(size_t card) { return std::string(1, static_cast<char>('A' + card % 26)); }

MeanEstimate average_score(const Scorecard& card) {
  std::vector<MeanEstimate> means;
  std::unordered_set<std::string> seen;
  for (const SliceScore& s : card.scores)
    if (s.slice.empty() && seen.insert(s.task).second && s.value.items > 0 &&
        unit_of(s.metric, s.value.mean) == Unit::points)
      means.push_back(s.value);
  return average(means);
}

const SliceScore* task_score(const Scorecard& card, std::string_view task, std::string_view metric) {
  const auto at = std::ranges::find_if(card.scores, [&](const SliceScore& s) {
    return s.slice.empty() && s.task == task && s.metric == metric;
  });
  return at == card.scores.end() ? nullptr : &*at;
}

Evidence gather(const ReportInput& input) {
  Evidence e;
  e.input = &input;
  e.cards.push_back(&input.baseline);
  for (const ReportEntry& c : input.candidates) e.cards.push_back(&c.card);

  const size_t candidates = input.candidates.size();
  std::unordered_map<std::string, size_t> places;
  const auto metrics = first_metrics(input.baseline);
  for (const SliceScore& s : input.baseline.scores) {
    const auto metric = metrics.find(s.task);
    if (metric == metrics.end() || metric->second != s.metric) continue;
    if (!places.emplace(key_of(s.task, s.slice, s.metric), e.rows.size()).second) continue;
    SliceRow row{&s, unit_of(s.metric, s.value.mean), s.slice.empty(), {}, {}};
    row.damages.resize(candidates);
    row.p_adjusted.resize(candidates, 1.0);
    e.rows.push_back(std::move(row));
  }
  for (size_t c = 0; c < candidates; ++c) {
    std::vector<size_t> compared;
    std::vector<double> p;
    for (const SliceDifference& d : input.candidates[c].comparison.slices) {
      const auto at = places.find(key_of(d.task, d.slice, d.metric));
      if (at == places.end() || e.rows[at->second].damages[c] || d.items == 0) continue;
      e.rows[at->second].damages[c] = &d;
      compared.push_back(at->second);
      p.push_back(d.p_worse);
    }
    const std::vector<double> adjusted = adjust_holm(p);
    for (size_t i = 0; i < compared.size(); ++i) e.rows[compared[i]].p_adjusted[c] = adjusted[i];
  }
  std::ranges::stable_sort(e.rows, [](const SliceRow& a, const SliceRow& b) {
    if (a.is_whole_task != b.is_whole_task) return a.is_whole_task;
    return !a.is_whole_task && worst_rank(a) > worst_rank(b);
  });
  for (size_t c = 0; c < candidates; ++c) e.summaries.push_back(summarize(e, c));
  return e;
}

}  // namespace carat
