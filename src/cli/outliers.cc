#include "cli/outliers.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "cli/format.h"

namespace carat {
namespace {

constexpr double kStandsOut = 10;      ///< times the median root mean square of the columns
constexpr float kLargeActivation = 6;  ///< the threshold of LLM.int8() (Dettmers et al. 2022, section 3.2)
constexpr size_t kShownColumns = 5, kShownTensors = 40;

struct Outliers {
  std::string name;
  double largest_to_median = 1;              ///< of the columns' root mean squares
  int64_t standing_out = 0;                  ///< columns beyond kStandsOut
  std::optional<int64_t> large_activations;  ///< columns that reach kLargeActivation, where ranges are known
  float largest = 0;                         ///< activation by magnitude; the same
  std::vector<std::pair<int64_t, double>> columns;  ///< the strongest, with their ratio to the median
};

/// Of all matrices of a tensor together.
Outliers outliers_of(const std::string& name, const InputStatistics& s) {
  Outliers out;
  out.name = name;
  std::vector<double> rms(s.columns);
  double count = 0;
  for (int64_t m = 0; m < s.matrices; ++m) {
    count += s.counts[m];
    for (int64_t c = 0; c < s.columns; ++c) rms[c] += s.sum_squares[m * s.columns + c];
  }
  for (double& r : rms) r = count > 0 ? std::sqrt(r / count) : 0;
  std::vector<double> sorted = rms;
  std::nth_element(sorted.begin(), sorted.begin() + s.columns / 2, sorted.end());
  const double median = std::max(sorted[s.columns / 2], 1e-30);
  for (int64_t c = 0; c < s.columns; ++c) {
    out.columns.emplace_back(c, rms[c] / median);
    out.standing_out += rms[c] > kStandsOut * median;
  }
  std::ranges::stable_sort(out.columns, std::greater(), &std::pair<int64_t, double>::second);
  out.largest_to_median = out.columns.front().second;
  out.columns.resize(std::min<size_t>(out.columns.size(), kShownColumns));
  if (s.minimum.empty()) return out;
  std::vector<float> reach(s.columns);
  for (int64_t i = 0; i < s.matrices * s.columns; ++i)
    if (s.counts[i / s.columns] > 0)
      reach[i % s.columns] = std::max({reach[i % s.columns], std::abs(s.minimum[i]), std::abs(s.maximum[i])});
  out.largest = *std::ranges::max_element(reach);
  out.large_activations = std::ranges::count_if(reach, [](float r) { return r >= kLargeActivation; });
  return out;
}

json::object as_json(const Outliers& o) {
  json::array columns;
  for (const auto& [column, ratio] : o.columns)
    columns.push_back({{"column", column}, {"rms_to_median", ratio}});
  json::object out{{"name", o.name},
                   {"largest_to_median", o.largest_to_median},
                   {"columns_standing_out", o.standing_out},
                   {"columns", std::move(columns)}};
  if (o.large_activations) {
    out["largest_activation"] = o.largest;
    out["columns_reaching_6"] = *o.large_activations;
  }
  return out;
}

std::string as_text(const std::vector<Outliers>& all, const CalibrationStatistics& s) {
  std::string out = fmt::format("{:<30} {:>8} {:>6} {:>9} {:>6}  {}\n", "input of", "max/med", ">10x",
                                "largest", ">=6", "strongest columns");
  for (size_t i = 0; i < std::min(all.size(), kShownTensors); ++i) {
    const Outliers& o = all[i];
    std::string columns;
    for (size_t c = 0; c < std::min<size_t>(3, o.columns.size()); ++c)
      columns += fmt::format("{}{} ({:.3g}x)", c > 0 ? ", " : "", o.columns[c].first, o.columns[c].second);
    out += fmt::format(
        "{:<30} {:>8.3g} {:>6} {:>9} {:>6}  {}\n", clipped(printable(o.name), 30), o.largest_to_median,
        o.standing_out, o.large_activations ? fmt::format("{:.4g}", o.largest) : "-",
        o.large_activations ? fmt::format("{}", *o.large_activations) : "-", clipped(columns, 34));
  }
  if (all.size() > kShownTensors) out += fmt::format("... and {} more\n", all.size() - kShownTensors);
  return out + fmt::format(
                   "\n{} chunks of {} tokens. max/med: root mean square of the strongest column to "
                   "the median one\n",
                   s.chunks, s.chunk_tokens);
}

}  // namespace

Status print_outliers(const std::string& path, const CalibrationStatistics& statistics, Console& console) {
  std::vector<Outliers> all;
  for (const auto& [name, s] : statistics.tensors) all.push_back(outliers_of(name, s));
  std::ranges::stable_sort(all, std::greater(), &Outliers::largest_to_median);
  if (!console.json()) return console.print(as_text(all, statistics));
  json::array tensors;
  for (const Outliers& o : all) tensors.push_back(as_json(o));
  return console.print_json({{"statistics", path},
                             {"chunks", statistics.chunks},
                             {"chunk_tokens", statistics.chunk_tokens},
                             {"tensors", std::move(tensors)}});
}

}  // namespace carat
