#include "cli/evaluate_report.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "cli/format.h"

namespace carat {
namespace {

std::string padded(std::string_view text, int64_t width) {
  std::string out = printable(text);
  if (display_width(out) > width) out = std::string(clipped(out, width - 1)) + "~";
  out.append(std::max<int64_t>(0, width - display_width(out)), ' ');
  return out;
}

std::string number(double value) {
  if (value == 0) return "0";
  const double size = std::abs(value);
  return size >= 1000   ? fmt::format("{:.0f}", value)
         : size >= 10   ? fmt::format("{:.2f}", value)
         : size >= 1e-3 ? fmt::format("{:.4f}", value)
                        : fmt::format("{:.2e}", value);
}

/// "1200", "1200, 3 unscored, 1 failed"
std::string counts(const SliceScore& s) {
  std::string out = fmt::format("{}", s.value.items);
  if (s.unscored > 0) out += fmt::format(", {} unscored", s.unscored);
  if (s.failed > 0) out += fmt::format(", {} failed", s.failed);
  return out;
}

std::string score_line(std::string_view label, const SliceScore& s) {
  const std::string start = fmt::format("  {} {}", padded(label, 34), padded(s.metric, 15));
  if (s.value.items == 0) return fmt::format("{} {:>9}  {:>19}  {}\n", start, "-", "", counts(s));
  const std::string interval =
      fmt::format("{} .. {}", number(s.value.interval.low), number(s.value.interval.high));
  return fmt::format("{} {:>9}  {:>19}  {}\n", start, number(s.value.mean), interval, counts(s));
}

const std::vector<std::string>* metrics_of(const std::vector<Task>* tasks, std::string_view name) {
  if (!tasks) return nullptr;
  const auto found = std::ranges::find(*tasks, name, &Task::name);
  return found == tasks->end() || found->metrics.empty() ? nullptr : &found->metrics;
}

/// Scores come as tasks, each whole and then its slices; a whole task shows all metrics that count, a slice
/// the first.
std::string scores_text(const Scorecard& card, const std::vector<Task>* tasks) {
  std::string out, dimension, task, slice;
  bool first_line = true;
  std::string first_metric;
  for (const SliceScore& s : card.scores) {
    const auto* wanted = metrics_of(tasks, s.task);
    if (wanted && !s.metric.empty() && std::ranges::find(*wanted, s.metric) == wanted->end()) continue;
    if (first_line || s.dimension != dimension)
      out += fmt::format("{}{}\n", first_line ? "" : "\n", printable(s.dimension));
    const bool new_task = first_line || s.task != task;
    const bool new_slice = new_task || s.slice != slice;
    if (new_task) first_metric = wanted ? wanted->front() : s.metric;
    dimension = s.dimension;
    task = s.task;
    slice = s.slice;
    first_line = false;
    if (!s.slice.empty() && s.metric != first_metric && !s.metric.empty()) continue;
    out += score_line(!s.slice.empty() ? "  " + s.slice : new_slice ? s.task : "", s);
  }
  return out;
}

std::optional<uint64_t> bytes_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (!value || !value->is_int64() || value->get_int64() < 0) return std::nullopt;
  return static_cast<uint64_t>(value->get_int64());
}

std::string performance_text(const json::object& performance) {
  std::string out;
  const auto milliseconds = [&](std::string_view key, std::string_view label) {
    const json::object* p = json_object(performance.if_contains(key));
    if (!p) return;
    const auto at = [&](std::string_view q) {
      const json::value* v = p->if_contains(q);
      return v && v->is_number() ? 1e3 * v->to_number<double>() : 0.0;
    };
    out += fmt::format("{:<22} p50 {:.4g} ms  p95 {:.4g} ms  p99 {:.4g} ms\n", label, at("p50"), at("p95"),
                       at("p99"));
  };
  milliseconds("first_token_seconds", "first token after");
  milliseconds("seconds_per_token", "each further token");
  milliseconds("answer_seconds", "a whole answer");
  const json::object* session = json_object(performance.if_contains("last_session"));
  const auto figure = [&](std::string_view key) {
    const json::value* v = session ? session->if_contains(key) : nullptr;
    return v && v->is_number() ? v->to_number<double>() : 0.0;
  };
  if (figure("seconds") > 0)
    out += fmt::format("{:<22} {} answers in {}, {} tokens/s\n", "this session",
                       static_cast<int64_t>(figure("answers")), human_duration(figure("seconds")),
                       human_count(figure("tokens_per_second")));
  if (const auto peak = bytes_at(performance, "peak_memory_bytes"))
    out += fmt::format("{:<22} {}\n", "memory at its peak", human_bytes(*peak));
  const json::object* plan = json_object(performance.if_contains("planned_memory"));
  const auto total = plan ? bytes_at(*plan, "total_bytes") : std::nullopt;
  const auto caches = plan ? bytes_at(*plan, "keys_and_values_bytes") : std::nullopt;
  if (total && caches)
    out += fmt::format("{:<22} {} where all sequences fill the context ({} of it keys and values)\n",
                       "memory predicted", human_bytes(*total), human_bytes(*caches));
  return out;
}

}  // namespace

std::string card_text(const Scorecard& card, const std::vector<Task>* tasks) {
  std::string out = fmt::format("run {}: {} on {} {} (digest {})\n\n", card.run, printable(card.variant.name),
                                printable(card.suite), printable(card.suite_version),
                                printable(clipped(card.suite_digest, 12)));
  out += fmt::format("  {} {} {:>9}  {:>19}  {}\n", padded("task, slice", 34), padded("metric", 15), "mean",
                     "95 % interval", "items");
  out += scores_text(card, tasks) + "\n" + performance_text(card.performance);
  if (!card.complete)
    out += "The card is not complete: items were left out or failed. The same command goes on from here.\n";
  return out;
}

std::string history_text(const std::vector<RunSummary>& runs) {
  if (runs.empty()) return "no runs yet\n";
  std::string out = fmt::format("{:>5}  {:<20}  {} {} {:<9} {:>8}\n", "run", "date", padded("variant", 28),
                                padded("suite", 22), "state", "answers");
  for (const RunSummary& r : runs)
    out +=
        fmt::format("{:>5}  {:<20}  {} {} {:<9} {:>8}\n", r.run, printable(r.date), padded(r.variant, 28),
                    padded(r.suite + " " + r.suite_version, 22), r.complete ? "complete" : "part", r.records);
  return out;
}

json::array history_json(const std::vector<RunSummary>& runs) {
  json::array out;
  for (const RunSummary& r : runs)
    out.push_back(json::object{{"run", r.run},
                               {"date", r.date},
                               {"variant", r.variant},
                               {"suite", r.suite},
                               {"suite_version", r.suite_version},
                               {"suite_digest", r.suite_digest},
                               {"model_digest", r.model_digest},
                               {"complete", r.complete},
                               {"answers", r.records}});
  return out;
}

std::string noise_text(const std::vector<NoiseFloor>& floors) {
  std::string out = "\nnoise floor: how far means moved when the same variant sat the exam again\n";
  bool still = true;
  for (const NoiseFloor& f : floors) {
    if (f.largest_difference == 0) continue;
    still = false;
    out +=
        fmt::format("  {} {} {:>9}  +- {}\n", padded(f.slice.empty() ? f.task : f.task + ": " + f.slice, 34),
                    padded(f.metric, 15), number(f.mean), number(f.largest_difference));
  }
  return still ? out + "  nothing moved\n" : out;
}

json::array noise_json(const std::vector<NoiseFloor>& floors) {
  json::array out;
  for (const NoiseFloor& f : floors)
    out.push_back(json::object{{"task", f.task},
                               {"slice", f.slice},
                               {"metric", f.metric},
                               {"mean", f.mean},
                               {"largest_difference", f.largest_difference}});
  return out;
}

}  // namespace carat
