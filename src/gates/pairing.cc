#include "gates/pairing.h"

#include <algorithm>
#include <span>

#include "containers/quote.h"
#include "gates/metrics.h"

namespace carat {
namespace {

using Pointers = std::vector<const Record*>;

// Metrics are looked for one by one; evaluations have about ten.
constexpr size_t kMostMetrics = 100;
constexpr double kRounding = 1e-9;  // of shares that were computed

Result<Pointers> in_order(const Scorecard& card) {
  Pointers out;
  out.reserve(card.records.size());
  for (const Record& r : card.records) {
    if (r.metrics.size() > kMostMetrics)
      return bad_data("the card of {} has {} metrics for item {} of task {}, more than {}",
                      quote(card.variant.name), r.metrics.size(), quote(r.item), quote(r.task), kMostMetrics);
    for (const auto& [name, value] : r.metrics)
      if (const MetricFacts* facts = find_metric(name);
          facts && facts->share && !(value >= -kRounding && value <= 1 + kRounding))
        return bad_data(
            "the card of {} has {} {} for item {} of task {}, which cannot be: it is a share, 0 to 1",
            quote(card.variant.name), name, value, quote(r.item), quote(r.task));
    out.push_back(&r);
  }
  const auto before = [](const Record* a, const Record* b) { return record_key(*a) < record_key(*b); };
  if (!std::is_sorted(out.begin(), out.end(), before)) std::sort(out.begin(), out.end(), before);
  const auto twice = std::adjacent_find(out.begin(), out.end(), [](const Record* a, const Record* b) {
    return record_key(*a) == record_key(*b);
  });
  if (twice != out.end())
    return bad_data("the card of {} answers item {} of task {} twice (repeat {})", quote(card.variant.name),
                    quote((*twice)->item), quote((*twice)->task), (*twice)->repeat);
  return out;
}

// The records of one item: those from `begin` with the task and item of the first.
std::span<const Record* const> item_at(const Pointers& records, size_t begin) {
  size_t end = begin;
  while (end < records.size() && records[end]->task == records[begin]->task &&
         records[end]->item == records[begin]->item)
    ++end;
  return {records.data() + begin, end - begin};
}

size_t metric_number(PairedTask& task, std::string_view name) {
  const auto number =
      static_cast<size_t>(std::find(task.metrics.begin(), task.metrics.end(), name) - task.metrics.begin());
  if (number == task.metrics.size()) task.metrics.push_back(name);
  return number;
}

PairedValue& value_of(PairedTask& task, PairedItem& item, std::string_view metric) {
  const size_t number = metric_number(task, metric);
  if (item.values.size() <= number) item.values.resize(number + 1);
  return item.values[number];
}

bool scored(const Record* r) { return r->outcome == Outcome::scored; }

using Repeats = std::span<const Record* const>;

// The repeats that both have scored; where there are none, those of one side, which pair with nothing.
std::pair<Pointers, Pointers> matching(Repeats baseline, Repeats candidate) {
  Pointers first, second;
  for (size_t i = 0, k = 0; i < baseline.size() && k < candidate.size();) {
    if (baseline[i]->repeat != candidate[k]->repeat) {
      baseline[i]->repeat < candidate[k]->repeat ? ++i : ++k;
      continue;
    }
    if (scored(baseline[i]) && scored(candidate[k]))
      first.push_back(baseline[i]), second.push_back(candidate[k]);
    ++i, ++k;
  }
  if (first.empty()) {
    std::copy_if(baseline.begin(), baseline.end(), std::back_inserter(first), scored);
    if (first.empty()) std::copy_if(candidate.begin(), candidate.end(), std::back_inserter(second), scored);
  }
  return {std::move(first), std::move(second)};
}

// Means over those repeats that have the metric.
template <class Put>
void average(PairedTask& task, PairedItem& item, const Pointers& records, Put put) {
  if (records.empty()) return;
  for (const auto& [name, first] : records[0]->metrics) {
    double sum = 0;
    size_t found = 0;
    for (const Record* r : records) {
      const auto at = std::ranges::find(r->metrics, name, &std::pair<std::string, double>::first);
      if (at != r->metrics.end()) sum += at->second, ++found;
    }
    put(value_of(task, item, name), sum / static_cast<double>(found));
  }
}

double mean_weight(const Pointers& records) {
  double sum = 0;
  for (const Record* r : records) sum += r->weight;
  return records.empty() ? 1 : sum / static_cast<double>(records.size());
}

void add_item(PairedTask& task, Repeats baseline, Repeats candidate) {
  const auto [first, second] = matching(baseline, candidate);
  PairedItem item;
  item.any = baseline.empty() ? candidate[0] : baseline[0];
  if (!first.empty()) item.baseline = first[0];
  if (!second.empty()) item.candidate = second[0];
  item.weight = mean_weight(first.empty() ? second : first);
  item.same_weight = first.empty() || second.empty() || item.weight == mean_weight(second);
  average(task, item, first, [](PairedValue& v, double mean) { v.in_baseline = true, v.baseline = mean; });
  average(task, item, second, [](PairedValue& v, double mean) { v.in_candidate = true, v.candidate = mean; });
  task.items.push_back(std::move(item));
}

}  // namespace

Result<std::vector<PairedTask>> pair_records(const Scorecard& baseline, const Scorecard& candidate) {
  CARAT_TRY(const Pointers first, in_order(baseline));
  CARAT_TRY(const Pointers second, in_order(candidate));
  std::vector<PairedTask> out;
  for (size_t i = 0, k = 0; i < first.size() || k < second.size();) {
    Repeats a, b;
    if (i < first.size()) a = item_at(first, i);
    if (k < second.size()) b = item_at(second, k);
    if (!a.empty() && !b.empty()) {
      const auto key = [](const Record* r) { return std::tie(r->task, r->item); };
      if (key(a[0]) < key(b[0]))
        b = {};
      else if (key(b[0]) < key(a[0]))
        a = {};
    }
    i += a.size(), k += b.size();
    const std::string& name = a.empty() ? b[0]->task : a[0]->task;
    if (out.empty() || out.back().name != name) out.push_back({name, {}, {}});
    add_item(out.back(), a, b);
    if (out.back().metrics.size() > kMostMetrics)
      return bad_data("task {} has more than {} metrics", quote(name), kMostMetrics);
  }
  return out;
}

}  // namespace carat
