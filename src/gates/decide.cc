#include <algorithm>
#include <cmath>

#include "gates/gate.h"
#include "gates/metrics.h"
#include "statistics/corrections.h"
#include "statistics/power.h"

namespace carat {
namespace {

std::string subject_of(const SliceDifference& d) {
  return d.slice.empty() ? d.task : fmt::format("{} {}", d.task, d.slice);
}

// A row with the difference it is about, before the errors of all rows are known together.
struct Row {
  GateResult result;
  bool from_evidence = false;  // has p values
  bool may_pass = true;
  Interval interval;  // at the policy's confidence
};

class SurfaceJudge {
 public:
  SurfaceJudge(const Policy& policy, const Surface& surface, const GateInput& input)
      : policy_(policy), surface_(surface), input_(input), alpha_((1 - policy.confidence) / 2) {}

  SurfaceDecision decide() {
    apply_rules();
    adjust();
    for (Row& row : rows_)
      if (row.from_evidence) conclude(row);
    SurfaceDecision out;
    out.surface = surface_.name, out.description = surface_.description;
    for (Row& row : rows_) out.results.push_back(std::move(row.result));
    for (const Limit& limit : surface_.limits) {
      out.results.push_back(judge_limit(policy_, limit, input_));
      out.results.back().surface = surface_.name;
    }
    sum_up(out);
    sort(out.results);
    return out;
  }

 private:
  // The first metric of each task, as its records have them.
  bool metric_fits(const Rule& rule, const SliceDifference& d) const {
    if (!rule.metric.empty()) return rule.metric == d.metric;
    const auto first = std::ranges::find(input_.comparison.slices, d.task, &SliceDifference::task);
    return first->metric == d.metric;
  }

  bool rule_fits(const Rule& rule, const SliceDifference& d) const {
    if (!fits(rule.task, d.task) || !fits(rule.dimension, d.dimension)) return false;
    const bool slice =
        d.slice.empty() ? rule.slice.empty() : !rule.slice.empty() && fits(rule.slice, d.slice);
    return slice && metric_fits(rule, d);
  }

  // Each slice is judged by the last rule that fits, so that general rules may come first.
  void apply_rules() {
    std::vector<bool> used(surface_.rules.size());
    for (const SliceDifference& d : input_.comparison.slices) {
      const Rule* rule = nullptr;
      for (size_t i = 0; i < surface_.rules.size(); ++i)
        if (rule_fits(surface_.rules[i], d)) used[i] = true, rule = &surface_.rules[i];
      if (rule) add_slice(*rule, d);
    }
    for (size_t i = 0; i < used.size(); ++i)
      if (!used[i]) add_missing(surface_.rules[i]);
  }

  Row make_row(const Rule& rule, const SliceDifference& d, double margin, bool relative) const {
    Row row;
    GateResult& r = row.result;
    r.surface = surface_.name, r.tier = tier_name(rule.tier), r.subject = subject_of(d);
    r.difference = d;
    r.margin = relative ? margin * std::abs(d.baseline) : margin;
    if (d.items == 0) {
      row.may_pass = false;
      r.reason = fmt::format("nothing to judge: {} has no item scored for both", d.metric);
      return row;
    }
    row.from_evidence = true;
    const DamageTest test(d.evidence);
    row.interval = test.interval(policy_.confidence);
    r.p = test.p_at_most(r.margin);
    r.p_pass = test.p_at_least(r.margin);
    const int64_t lacking = d.missing + d.unscored;
    if (d.items < rule.minimum_items) {
      row.may_pass = false;
      r.items_needed = rule.minimum_items;
      r.reason = fmt::format("{} items, and the policy wants {}", d.items, rule.minimum_items);
    } else if (static_cast<double>(lacking) > policy_.missing * static_cast<double>(lacking + d.items)) {
      row.may_pass = false;
      r.reason = fmt::format("{} of {} items were not scored for both, more than {:.3g} %", lacking,
                             lacking + d.items, 100 * policy_.missing);
    }
    return row;
  }

  // Whether a loss could be seen at all: the baseline is above guessing, by more than the margin.
  std::string headroom_problem(const GateResult& r) const {
    const SliceDifference& d = r.difference;
    const MetricFacts* facts = find_metric(d.metric);
    if (!facts || !facts->judgement || d.items == 0) return {};
    if (d.baseline_interval.low <= d.chance)
      return fmt::format("the baseline's {} of {:.3f} cannot be told from {} ({:.3f})", d.metric, d.baseline,
                         d.chance > 0 ? "guessing" : "zero", d.chance);
    if (d.baseline - d.chance <= r.margin)
      return fmt::format("even {} ({:.3f}) would be within {:.3g} of the baseline's {} of {:.3f}",
                         d.chance > 0 ? "guessing" : "zero", d.chance, r.margin, d.metric, d.baseline);
    return {};
  }

  void add_slice(const Rule& rule, const SliceDifference& d) {
    rows_.push_back(make_row(rule, d, rule.margin, rule.relative));
    const std::string problem = headroom_problem(rows_.back().result);
    if (problem.empty()) return;
    rows_.back().may_pass = false;
    rows_.back().result.verdict = GateVerdict::no_headroom;
    rows_.back().result.reason = problem;
    for (const StandIn& s : rule.stand_ins)
      for (const SliceDifference& other : input_.comparison.slices)
        if (other.metric == s.metric && other.task == d.task && other.slice == d.slice && other.items > 0) {
          rows_.push_back(make_row(rule, other, s.margin, false));
          rows_.back().result.stand_in = true;
        }
  }

  void add_missing(const Rule& rule) {
    Row row;
    GateResult& r = row.result;
    r.surface = surface_.name, r.tier = tier_name(rule.tier);
    r.subject = rule.slice.empty() ? rule.task : fmt::format("{} {}", rule.task, rule.slice);
    r.difference.task = rule.task, r.difference.dimension = rule.dimension, r.difference.slice = rule.slice;
    r.difference.metric = rule.metric, r.margin = rule.margin;
    r.reason = fmt::format("missing: the cards have no slice that the rule in line {} asks for", rule.line);
    rows_.push_back(std::move(row));
  }

  void adjust() {
    for (const Tier tier : {Tier::blocking, Tier::advisory}) {
      std::vector<double> p;
      std::vector<GateResult*> results;
      for (Row& row : rows_)
        if (row.from_evidence && row.result.tier == tier_name(tier))
          p.push_back(row.result.p), results.push_back(&row.result);
      const std::vector<double> adjusted =
          tier == Tier::blocking ? adjust_holm(p) : adjust_benjamini_hochberg(p);
      for (size_t i = 0; i < p.size(); ++i) results[i]->p_adjusted = adjusted[i];
    }
  }

  void conclude(Row& row) const {
    GateResult& r = row.result;
    const SliceDifference& d = r.difference;
    const bool worse_alone = row.interval.low > r.margin && r.p <= alpha_;
    if (worse_alone && r.p_adjusted <= alpha_) {
      r.verdict = GateVerdict::breach;
      r.items_needed = 0;
      r.reason = fmt::format("worse by {:.4g}, at least {:.4g}, and {:.4g} is allowed", d.damage,
                             row.interval.low, r.margin);
      return;
    }
    if (r.verdict == GateVerdict::no_headroom) return;
    if (!row.may_pass) return;
    if (row.interval.high <= r.margin && r.p_pass <= alpha_) {
      r.verdict = GateVerdict::pass;
      r.reason = fmt::format("worse by at most {:.4g}, and {:.4g} is allowed", row.interval.high, r.margin);
      return;
    }
    r.verdict = GateVerdict::inconclusive;
    r.items_needed = items_needed(r);
    r.reason = fmt::format("worse by {:.4g} to {:.4g}, and {:.4g} is allowed", row.interval.low,
                           row.interval.high, r.margin);
    if (worse_alone) r.reason += ": a breach alone, but not among so many slices";
    if (std::isfinite(d.detectable) && d.detectable > r.margin)
      r.reason += fmt::format("; {} items find {:.4g} at best", d.items, d.detectable);
  }

  int64_t items_needed(const GateResult& r) const {
    const SliceDifference& d = r.difference;
    if (d.clusters < 2) return 0;
    int64_t items = items_to_decide(d.items, d.standard_error, d.damage, r.margin, alpha_, policy_.power);
    if (d.standard_error == 0 && d.damage < r.margin) {  // nothing moved: the rule of three decides
      const double units = static_cast<double>(unchanged_items_to_pass(r.margin, d.evidence.scale, alpha_));
      items = static_cast<int64_t>(std::min(
          0x1p53, std::ceil(units * static_cast<double>(d.items) / static_cast<double>(d.clusters))));
    }
    // Beyond this the damage is at the margin, and no exam decides.
    return items > int64_t{1} << 40 ? 0 : std::max(items, d.items + 1);
  }

  static bool unresolved(const std::vector<GateResult>& results, size_t i) {
    const GateResult& r = results[i];
    if (r.verdict == GateVerdict::inconclusive) return true;
    if (r.verdict != GateVerdict::no_headroom) return false;
    return i + 1 == results.size() || !results[i + 1].stand_in;  // what stands in counts by itself
  }

  void sum_up(SurfaceDecision& out) const {
    int64_t blocking = 0, breaches = 0, open = 0, advisory = 0;
    std::string first_breach, first_open;
    for (size_t i = 0; i < out.results.size(); ++i) {
      const GateResult& r = out.results[i];
      if (r.tier != tier_name(Tier::blocking)) {
        advisory += r.verdict == GateVerdict::breach;
        continue;
      }
      ++blocking;
      const std::string sentence = fmt::format("{} ({}): {}", r.subject, r.difference.metric, r.reason);
      if (r.verdict == GateVerdict::breach && breaches++ == 0) first_breach = sentence;
      if (unresolved(out.results, i) && open++ == 0) first_open = sentence;
    }
    std::vector<std::string> obstacles = input_.obstacles;
    obstacles.insert(obstacles.end(), input_.comparison.gaps.begin(), input_.comparison.gaps.end());
    const auto others = [](int64_t n) { return n > 1 ? fmt::format(", and {} more", n - 1) : std::string(); };
    if (breaches > 0) {
      out.verdict = GateVerdict::breach;
      out.reason = first_breach + others(breaches);
    } else if (!obstacles.empty()) {
      out.reason = obstacles.front() + others(static_cast<int64_t>(obstacles.size()));
    } else if (blocking == 0) {
      out.reason = "nothing is blocking here, so that nothing was decided";
    } else if (open > 0) {
      out.reason = first_open + others(open);
    } else {
      out.verdict = GateVerdict::pass;
      out.reason = fmt::format("every blocking row ({}) is within what is allowed", blocking);
    }
    if (advisory > 0)
      out.reason += fmt::format("; of the advisory rows {} {} not", advisory, advisory == 1 ? "is" : "are");
  }

  // Worst first, blocking before advisory; what stands in stays behind its row.
  static void sort(std::vector<GateResult>& results) {
    std::vector<std::vector<GateResult>> groups;
    for (GateResult& r : results) {
      if (!r.stand_in) groups.emplace_back();
      groups.back().push_back(std::move(r));
    }
    const auto rank = [](const std::vector<GateResult>& group) {
      int worst = 3;
      for (const GateResult& r : group)
        worst = std::min(worst, r.verdict == GateVerdict::breach         ? 0
                                : r.verdict == GateVerdict::inconclusive ? 1
                                : r.verdict == GateVerdict::no_headroom  ? 2
                                                                         : 3);
      return worst + (group[0].tier == tier_name(Tier::blocking) ? 0 : 4);
    };
    std::ranges::stable_sort(groups, {}, rank);
    results.clear();
    for (auto& group : groups)
      results.insert(results.end(), std::make_move_iterator(group.begin()),
                     std::make_move_iterator(group.end()));
  }

  const Policy& policy_;
  const Surface& surface_;
  const GateInput& input_;
  double alpha_;
  std::vector<Row> rows_;
};

}  // namespace

std::string_view verdict_name(GateVerdict verdict) {
  switch (verdict) {
    case GateVerdict::pass:
      return "pass";
    case GateVerdict::breach:
      return "breach";
    case GateVerdict::inconclusive:
      return "inconclusive";
    case GateVerdict::no_headroom:
      return "no headroom";
  }
  return "?";
}

SurfaceDecision decide_surface(const Policy& policy, const Surface& surface, const GateInput& input) {
  return SurfaceJudge(policy, surface, input).decide();
}

GateVerdict overall_verdict(const std::vector<SurfaceDecision>& decisions) {
  GateVerdict out = decisions.empty() ? GateVerdict::inconclusive : GateVerdict::pass;
  for (const SurfaceDecision& d : decisions) {
    if (d.verdict == GateVerdict::breach) return d.verdict;
    if (d.verdict != GateVerdict::pass) out = GateVerdict::inconclusive;
  }
  return out;
}

}  // namespace carat
