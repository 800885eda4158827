#include "gates/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "cards/settings.h"
#include "containers/quote.h"
#include "gates/metrics.h"
#include "gates/pairing.h"
#include "statistics/power.h"

namespace carat {
namespace {

constexpr double kConfidence = 0.95, kPower = 0.8;

// A metric of the items of one slice, as they go into the tests.
struct Sample {
  std::vector<double> baseline, candidate, weights;
  std::vector<int64_t> clusters;
  bool alone = true;   // no two items share a cluster
  bool finite = true;  // else there is no mean, and nothing can be said
};

class TaskComparison {
 public:
  TaskComparison(const PairedTask& task, std::string dimension, bool against_reference)
      : task_(task), dimension_(std::move(dimension)), against_reference_(against_reference) {
    std::unordered_map<std::string_view, int64_t> numbers;
    for (const PairedItem& item : task.items) {
      const std::string_view cluster = item.any->cluster.empty() ? item.any->item : item.any->cluster;
      clusters_.push_back(numbers.try_emplace(cluster, static_cast<int64_t>(numbers.size())).first->second);
    }
    chance_ = static_cast<size_t>(std::find(task.metrics.begin(), task.metrics.end(), "chance") -
                                  task.metrics.begin());
  }

  SliceDifference compare(const std::vector<size_t>& items, std::string_view slice, size_t metric) const {
    SliceDifference out;
    out.task = task_.name, out.dimension = dimension_, out.slice = slice, out.metric = task_.metrics[metric];
    const MetricFacts& facts = *find_metric(out.metric);
    const Sample sample = collect(items, facts, metric, out);
    if (!sample.finite) {
      out.missing = static_cast<int64_t>(items.size()) - out.unscored;
      return out;
    }
    out.items = static_cast<int64_t>(sample.baseline.size());
    if (out.items > 0) judge(sample, facts, out);
    return out;
  }

 private:
  PairedValue value(const PairedItem& item, size_t metric, const MetricFacts& facts) const {
    PairedValue v = metric < item.values.size() ? item.values[metric] : PairedValue{};
    if (facts.divergence && against_reference_ && !v.in_baseline && item.baseline)
      v.in_baseline = true, v.baseline = facts.at_reference;
    if (!(item.weight > 0) || (facts.per_token && !item.same_weight)) v.in_baseline = false;
    return v;
  }

  Sample collect(const std::vector<size_t>& items, const MetricFacts& facts, size_t metric,
                 SliceDifference& out) const {
    Sample sample;
    std::set<int64_t> seen;
    double chance = 0, weight = 0;
    for (const size_t i : items) {
      const PairedItem& item = task_.items[i];
      const PairedValue v = value(item, metric, facts);
      if (!v.in_baseline || !v.in_candidate) {
        out.missing += v.in_baseline || v.in_candidate;
        out.unscored += !item.baseline && !item.candidate;
        continue;
      }
      sample.finite &= std::isfinite(v.baseline) && std::isfinite(v.candidate);
      sample.baseline.push_back(v.baseline), sample.candidate.push_back(v.candidate);
      sample.weights.push_back(item.weight), sample.clusters.push_back(clusters_[i]);
      sample.alone &= seen.insert(clusters_[i]).second;
      if (chance_ < item.values.size() && item.values[chance_].in_baseline)
        chance += item.weight * item.values[chance_].baseline;
      weight += item.weight;
    }
    out.clusters = static_cast<int64_t>(seen.size());
    if (facts.judgement && weight > 0) out.chance = chance / weight;
    return sample;
  }

  void judge(const Sample& sample, const MetricFacts& facts, SliceDifference& out) const {
    const auto is_binary = [](double v) { return v == 0 || v == 1; };
    const bool same_weights =
        std::ranges::all_of(sample.weights, [&](double w) { return w == sample.weights[0]; });
    out.binary = facts.share && same_weights && std::ranges::all_of(sample.baseline, is_binary) &&
                 std::ranges::all_of(sample.candidate, is_binary);
    const MeanEstimate before = estimate_mean(sample.baseline, sample.weights, sample.clusters);
    const MeanEstimate after = estimate_mean(sample.candidate, sample.weights, sample.clusters);
    out.baseline = before.mean, out.candidate = after.mean, out.baseline_interval = before.interval;

    const double sign = facts.higher_is_better ? -1 : 1;
    out.damage = sign * (out.candidate - out.baseline) + 0.0;  // never -0
    std::map<int64_t, ClusterSum> sums;
    for (size_t i = 0; i < sample.baseline.size(); ++i) {
      const double damage = sign * (sample.candidate[i] - sample.baseline[i]);
      if (out.binary) out.worse += damage > 0, out.better += damage < 0;
      ClusterSum& c = sums[sample.clusters[i]];
      c.sum += sample.weights[i] * damage, c.weight += sample.weights[i];
    }
    DamageEvidence& evidence = out.evidence;
    evidence.counted = out.binary && sample.alone;
    if (evidence.counted) {
      evidence.counts = {out.items, out.worse, out.better};
    } else {
      for (const auto& [number, sum] : sums) evidence.clusters.push_back(sum);
      evidence.scale = facts.share ? 1 : spread(sample.baseline);
    }
    const DamageTest test(evidence);
    out.interval = test.interval(kConfidence);
    out.standard_error = test.standard_error();
    out.p_worse = test.p_worse();
    out.mid_p = evidence.counted ? mcnemar(out.worse, out.better).mid_p : out.p_worse;
    out.detectable = out.standard_error > 0
                         ? detectable_effect(out.standard_error, (1 - kConfidence) / 2, kPower)
                         : out.interval.high - out.damage;
  }

  // How large an unseen difference may be: as items differ from each other; without that their size, or 1.
  static double spread(const std::vector<double>& values) {
    const MeanEstimate m = estimate_mean(values, {}, {});
    const double deviation = m.standard_error * std::sqrt(static_cast<double>(values.size()));
    return deviation > 0 ? deviation : m.mean != 0 ? std::abs(m.mean) : 1;
  }

  const PairedTask& task_;
  std::string dimension_;
  bool against_reference_;
  std::vector<int64_t> clusters_;  // by item
  size_t chance_ = 0;              // the metric's number, beyond all where there is none
};

// "" with every item, then slices by name.
std::map<std::string_view, std::vector<size_t>> slices_of(const PairedTask& task) {
  std::map<std::string_view, std::vector<size_t>> out;
  for (size_t i = 0; i < task.items.size(); ++i) {
    out[""].push_back(i);
    for (const std::string& s : task.items[i].any->slices) {
      if (s.empty()) continue;
      std::vector<size_t>& members = out[s];
      if (members.empty() || members.back() != i) members.push_back(i);
    }
  }
  return out;
}

std::string dimension_of(std::string_view task, const Scorecard& a, const Scorecard& b) {
  for (const Scorecard* card : {&a, &b})
    for (const SliceScore& s : card->scores)
      if (s.task == task) return s.dimension;
  return {};
}

void add_flips(const PairedTask& task, std::vector<Flip>& worse, std::vector<Flip>& better) {
  const auto judgement = std::ranges::find_if(task.metrics, [](std::string_view m) {
    const MetricFacts* facts = find_metric(m);
    return facts && facts->judgement;
  });
  if (judgement == task.metrics.end()) return;
  const auto metric = static_cast<size_t>(judgement - task.metrics.begin());
  for (const PairedItem& item : task.items) {
    if (metric >= item.values.size()) continue;
    const PairedValue& v = item.values[metric];
    if (!v.in_baseline || !v.in_candidate || (v.baseline >= 0.5) == (v.candidate >= 0.5)) continue;
    const bool is_worse = v.candidate < 0.5;
    const Record &a = *item.baseline, &b = *item.candidate;
    (is_worse ? worse : better)
        .push_back({a.task, a.item, a.slices.empty() ? "" : a.slices[0], a.question, a.expected, a.answer,
                    b.answer, is_worse});
  }
}

void note_metrics(const PairedTask& task, std::vector<std::string>& notes) {
  for (size_t m = 0; m < task.metrics.size(); ++m) {
    const auto infinite = std::ranges::count_if(task.items, [&](const PairedItem& i) {
      return m < i.values.size() &&
             !(std::isfinite(i.values[m].baseline) && std::isfinite(i.values[m].candidate));
    });
    if (infinite > 0)
      notes.push_back(
          fmt::format("task {}: the metric {} of {} items is not a finite number, so that slices with "
                      "them are not judged by it",
                      quote(task.name), quote(task.metrics[m]), infinite));
  }
  for (const std::string_view metric : task.metrics)
    if (!find_metric(metric) && !is_descriptive(metric))
      notes.push_back(fmt::format("task {}: the metric {} is not compared: which way is worse is not known",
                                  quote(task.name), quote(metric)));
  const auto other = std::ranges::count_if(task.items, [](const PairedItem& i) { return !i.same_weight; });
  if (other > 0)
    notes.push_back(
        fmt::format("task {}: {} items were cut into other numbers of tokens, so that what is counted "
                    "per token is not compared",
                    quote(task.name), other));
}

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* v = object.if_contains(key);
  if (!v) return "-";
  return v->is_string() ? std::string(v->get_string()) : json::serialize(*v);
}

void note_variants(const Scorecard& a, const Scorecard& b, std::vector<std::string>& notes) {
  const auto differences = differing_settings(a.variant, b.variant);
  if (differences.empty()) notes.push_back("both are the same variant: what is seen here is the noise floor");
  for (const SettingDifference& d : differences)
    notes.push_back(fmt::format("differs in {}: {} / {}", d.member, quote(d.first), quote(d.second)));
  for (const std::string_view key : {"carat_version", "kernels", "hardware", "threads"}) {
    const std::string first = text_of(a.provenance, key), second = text_of(b.provenance, key);
    if (first != second)
      notes.push_back(fmt::format("measured with another {}: {} / {}", key, quote(first), quote(second)));
  }
  for (const Scorecard* card : {&a, &b})
    if (!card->complete)
      notes.push_back(fmt::format("the card of {} is not complete: not every item of the suite has an answer",
                                  quote(card->variant.name)));
}

// Where a card's means speak of more items than its records have.
void add_gaps(const Scorecard& card, std::vector<std::string>& gaps) {
  const auto hash = [](const auto& pair) {
    const std::hash<std::string_view> one;
    return one(pair.first) * 31 + one(pair.second);
  };
  using Names = std::pair<std::string_view, std::string_view>;
  std::unordered_set<Names, decltype(hash)> items, checked;
  std::unordered_map<Names, int64_t, decltype(hash)> found;  // items by task and slice
  for (const Record& r : card.records) {
    if (!items.insert({r.task, r.item}).second) continue;
    ++found[{r.task, ""}];
    for (const std::string& s : r.slices) ++found[{r.task, s}];
  }
  for (const SliceScore& s : card.scores) {
    if (!checked.insert({s.task, s.slice}).second) continue;
    const auto at = found.find({s.task, s.slice});
    const int64_t there = at == found.end() ? 0 : at->second;
    if (there < s.items)
      gaps.push_back(fmt::format("the card of {} sums up {} items of task {}{}, and has the answers of {}",
                                 quote(card.variant.name), s.items, quote(s.task),
                                 s.slice.empty() ? "" : fmt::format(", slice {}", quote(s.slice)), there));
  }
}

}  // namespace

Result<Comparison> compare_cards(const Scorecard& baseline, const Scorecard& candidate) {
  if (baseline.suite_digest != candidate.suite_digest)
    return bad_data(
        "{} and {} sat other exams: suite {} {} with digest {} and {} {} with digest {}; evaluate both "
        "with the same suite",
        quote(baseline.variant.name), quote(candidate.variant.name), quote(baseline.suite),
        quote(baseline.suite_version), baseline.suite_digest.substr(0, 12), quote(candidate.suite),
        quote(candidate.suite_version), candidate.suite_digest.substr(0, 12));
  for (const Scorecard* card : {&baseline, &candidate})
    if (card->records.empty())
      return bad_data("the card of {} has no records, which comparing needs; export it with them",
                      quote(card->variant.name));

  Comparison out;
  out.baseline = baseline.variant.name, out.candidate = candidate.variant.name;
  out.suite = baseline.suite, out.suite_version = baseline.suite_version,
  out.suite_digest = baseline.suite_digest;
  note_variants(baseline, candidate, out.notes);
  add_gaps(baseline, out.gaps), add_gaps(candidate, out.gaps);
  out.notes.insert(out.notes.end(), out.gaps.begin(), out.gaps.end());
  const bool against_reference =
      !candidate.reference.empty() && candidate.reference == baseline.variant.model_digest;
  CARAT_TRY(const std::vector<PairedTask> tasks, pair_records(baseline, candidate));
  std::vector<Flip> better;
  for (const PairedTask& task : tasks) {
    note_metrics(task, out.notes);
    const TaskComparison comparison(task, dimension_of(task.name, baseline, candidate), against_reference);
    for (const auto& [slice, items] : slices_of(task))
      for (size_t metric = 0; metric < task.metrics.size(); ++metric)
        if (find_metric(task.metrics[metric])) out.slices.push_back(comparison.compare(items, slice, metric));
    add_flips(task, out.flips, better);
  }
  out.flips.insert(out.flips.end(), std::make_move_iterator(better.begin()),
                   std::make_move_iterator(better.end()));
  return out;
}

}  // namespace carat
