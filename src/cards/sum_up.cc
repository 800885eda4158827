// From records to means. An item is one observation however often it was repeated: its repeats are averaged
// first, so that asking a question ten times does not pass for ten questions (Miller 2024, arXiv 2411.00640,
// section 3). Everything is sorted before it is added up: which record came first, in which run of a resumed
// evaluation, must not change a bit.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <unordered_map>

#include "base/digest.h"
#include "cards/scorecard.h"

namespace carat {
namespace {

/// A text's number is found by its sum, so that ids are held once: there may be a million items.
uint64_t key_of(std::string_view text) {
  return xxh3({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

struct Names {
  std::vector<std::string> list;
  std::unordered_map<std::string, uint32_t> numbers;

  uint32_t number(const std::string& name) {
    const auto [at, is_new] = numbers.emplace(name, static_cast<uint32_t>(list.size()));
    if (is_new) list.push_back(name);
    return at->second;
  }
};

struct Measurement {
  uint32_t metric = 0;
  int64_t repeat = 0;
  double value = 0, weight = 1;
};

struct ItemSums {
  std::string id;
  uint32_t cluster = 0;
  std::vector<uint32_t> slices;
  std::vector<Measurement> measurements;
  bool scored = false, failed = false;
};

struct TaskSums {
  Names metrics, slices;
  std::vector<size_t> metric_ranks;  ///< by metric: its first place in a record
  std::vector<ItemSums> items;
  std::unordered_map<uint64_t, uint32_t> cluster_numbers;  ///< by the sum of the name
  std::unordered_map<uint64_t, uint32_t> numbers;          ///< of items, by the sum of the id

  uint32_t cluster(const std::string& name) {
    return cluster_numbers.emplace(key_of(name), static_cast<uint32_t>(cluster_numbers.size())).first->second;
  }
  ItemSums& item(const std::string& id) {
    const auto [at, is_new] = numbers.emplace(key_of(id), static_cast<uint32_t>(items.size()));
    if (is_new) items.emplace_back().id = id;
    return items[at->second];
  }
};

/// An item's mean over its repeats.
struct ItemValue {
  double value = 0, weight = 0;
};

/// means[metric]; weight 0 = the item has none.
void mean_over_repeats(const ItemSums& item, std::span<ItemValue> means) {
  std::vector<Measurement> sorted = item.measurements;
  std::ranges::sort(sorted, {}, [](const Measurement& m) { return std::tie(m.metric, m.repeat); });
  for (size_t i = 0; i < sorted.size();) {
    const uint32_t metric = sorted[i].metric;
    double sum = 0, weight = 0;
    int64_t repeats = 0;
    for (; i < sorted.size() && sorted[i].metric == metric; ++i, ++repeats) {
      sum += sorted[i].weight * sorted[i].value;
      weight += sorted[i].weight;
    }
    if (weight > 0) means[metric] = {sum / weight, weight / static_cast<double>(repeats)};
  }
}

/// A loss can be infinite: so is its mean, and nothing is known of the spread.
MeanEstimate unbounded(const std::vector<double>& values, size_t clusters) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  MeanEstimate e;
  for (const double x : values)
    if (!std::isfinite(x)) e.mean += x;  // NaN where both infinities meet
  e.standard_error = infinity;
  e.interval = {-infinity, infinity};
  e.items = static_cast<int64_t>(values.size());
  e.clusters = static_cast<int64_t>(clusters);
  return e;
}

MeanEstimate estimate(const std::vector<size_t>& members, const std::vector<const ItemSums*>& items,
                      const std::vector<ItemValue>& means, size_t metrics, uint32_t metric) {
  std::vector<double> values, weights;
  std::vector<int64_t> clusters;
  std::unordered_map<uint32_t, int64_t> cluster_numbers;
  bool equal = true;
  for (const size_t i : members) {
    const ItemValue& m = means[i * metrics + metric];
    if (m.weight == 0) continue;
    values.push_back(m.value);
    weights.push_back(m.weight);
    equal &= m.weight == weights.front();
    const auto next = static_cast<int64_t>(cluster_numbers.size());
    clusters.push_back(cluster_numbers.emplace(items[i]->cluster, next).first->second);
  }
  if (values.empty()) return {};
  if (!std::ranges::all_of(values, [](double x) { return std::isfinite(x); }))
    return unbounded(values, cluster_numbers.size());
  if (equal) weights.clear();
  return estimate_mean(values, weights, clusters);
}

void append_scores(const std::string& name, const std::string& dimension, const TaskSums& task,
                   std::vector<SliceScore>& out) {
  std::vector<const ItemSums*> items;
  for (const ItemSums& item : task.items) items.push_back(&item);
  std::ranges::sort(items, {}, [](const ItemSums* item) -> const std::string& { return item->id; });

  const size_t metric_count = task.metrics.list.size();
  std::vector<ItemValue> means(items.size() * metric_count);  // [items, metrics]
  std::map<std::string, std::vector<size_t>> slices;          // members, as places in `items`
  slices[""];
  for (size_t i = 0; i < items.size(); ++i) {
    mean_over_repeats(*items[i], std::span(means).subspan(i * metric_count, metric_count));
    slices[""].push_back(i);
    for (const uint32_t s : items[i]->slices) slices[task.slices.list[s]].push_back(i);
  }

  std::vector<uint32_t> metrics(metric_count);
  for (uint32_t m = 0; m < metric_count; ++m) metrics[m] = m;
  std::ranges::sort(metrics, {}, [&](uint32_t m) {
    return std::tuple<size_t, std::string_view>(task.metric_ranks[m], task.metrics.list[m]);
  });

  for (const auto& [slice, members] : slices) {
    SliceScore score;
    score.task = name;
    score.dimension = dimension;
    score.slice = slice;
    score.items = static_cast<int64_t>(members.size());
    for (const size_t i : members) {
      if (items[i]->scored) continue;
      ++(items[i]->failed ? score.failed : score.unscored);
    }
    if (metrics.empty()) out.push_back(score);
    for (const uint32_t m : metrics) {
      score.metric = task.metrics.list[m];
      score.value = estimate(members, items, means, metric_count, m);
      out.push_back(score);
    }
  }
}

}  // namespace

struct ScoreSums::Impl {
  std::map<std::string, TaskSums> tasks;
};

ScoreSums::ScoreSums() : impl_(std::make_unique<Impl>()) {}
ScoreSums::~ScoreSums() = default;
ScoreSums::ScoreSums(ScoreSums&&) noexcept = default;
ScoreSums& ScoreSums::operator=(ScoreSums&&) noexcept = default;

void ScoreSums::add(const Record& record) {
  TaskSums& task = impl_->tasks[record.task];
  ItemSums& item = task.item(record.item);
  item.cluster = task.cluster(record.cluster.empty() ? record.item : record.cluster);
  for (const std::string& slice : record.slices)
    if (!slice.empty()) item.slices.push_back(task.slices.number(slice));
  std::ranges::sort(item.slices);
  item.slices.erase(std::unique(item.slices.begin(), item.slices.end()), item.slices.end());
  item.failed |= record.outcome == Outcome::failed;
  if (record.outcome != Outcome::scored) return;
  item.scored = true;
  if (item.measurements.empty()) item.measurements.reserve(record.metrics.size());
  for (size_t i = 0; i < record.metrics.size(); ++i) {
    const auto& [name, value] = record.metrics[i];
    const uint32_t m = task.metrics.number(name);
    task.metric_ranks.resize(task.metrics.list.size(), i);
    task.metric_ranks[m] = std::min(task.metric_ranks[m], i);
    item.measurements.push_back({m, record.repeat, value, record.weight});
  }
}

std::vector<SliceScore> ScoreSums::scores(
    const std::vector<std::pair<std::string, std::string>>& task_dimensions) const {
  std::vector<SliceScore> out;
  std::unordered_map<std::string_view, bool> done;
  for (const auto& [name, dimension] : task_dimensions) {
    const auto task = impl_->tasks.find(name);
    if (task == impl_->tasks.end() || !done.emplace(name, true).second) continue;
    append_scores(name, dimension, task->second, out);
  }
  for (const auto& [name, task] : impl_->tasks)
    if (!done.contains(name)) append_scores(name, "", task, out);
  return out;
}

std::vector<SliceScore> sum_up(const std::vector<Record>& records,
                               const std::vector<std::pair<std::string, std::string>>& task_dimensions) {
  ScoreSums sums;
  for (const Record& r : records) sums.add(r);
  return sums.scores(task_dimensions);
}

}  // namespace carat
