#include "evaluate/latency.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace carat {
namespace {

json::object percentiles(std::vector<double> values) {
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  return {{"p50", percentile(values, 0.50)},
          {"p90", percentile(values, 0.90)},
          {"p95", percentile(values, 0.95)},
          {"p99", percentile(values, 0.99)},
          {"mean", mean},
          {"answers", values.size()}};
}

}  // namespace

double percentile(std::vector<double>& values, double q) {
  std::ranges::sort(values);
  const double position = q * static_cast<double>(values.size() - 1);
  const size_t below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (position - static_cast<double>(below)) * (values[above] - values[below]);
}

void LatencySums::add(const Record& record) {
  if (record.seconds <= 0) return;
  whole_.push_back(record.seconds);
  if (record.first_token_seconds <= 0) return;
  first_token_.push_back(record.first_token_seconds);
  if (record.generated_tokens > 1)
    per_token_.push_back((record.seconds - record.first_token_seconds) /
                         static_cast<double>(record.generated_tokens - 1));
}

json::object LatencySums::to_json() const {
  json::object out, formulas;
  const auto put = [&](std::string_view name, const std::vector<double>& values, std::string_view formula) {
    if (values.empty()) return;
    out[name] = percentiles(values);
    formulas[name] = formula;
  };
  put("first_token_seconds", first_token_,
      "time of the first generated token - time the prompt was begun or sent");
  put("seconds_per_token", per_token_,
      "(answer_seconds - first_token_seconds) / (generated tokens - 1), per answer of two tokens or more");
  put("answer_seconds", whole_, "time of the last generated token - time the prompt was begun or sent");
  if (!formulas.empty()) out["formulas"] = std::move(formulas);
  return out;
}

}  // namespace carat
