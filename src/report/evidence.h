// What the cards say, put side by side: one row for each slice, on the metric that counts for its task, with
// what each candidate lost there. The sections of the page read this and compute nothing themselves.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/report.h"

namespace carat {

/// How a metric is written and how large a loss in it is.
enum class Unit {
  points,  ///< a share; written in percent, its differences in percentage points
  nats,    ///< a loss or divergence
  bits,    ///< per byte
  plain    ///< a rating, a count
};
/// By the table of metrics; of one that is not in it, by a mean of it.
Unit unit_of(std::string_view metric, double mean);
inline bool is_loss(Unit unit) { return unit == Unit::nats || unit == Unit::bits; }
std::string score_text(double score, Unit unit);     ///< "61.3 %"
std::string interval_text(Interval i, Unit unit);    ///< "58.1 to 64.4"
std::string damage_text(double damage, Unit unit);   ///< "+3.1", "0.0", "-0.4"
std::string damage_interval(Interval i, Unit unit);  ///< "+1.2 to +5.0"
std::string amount_text(double amount, Unit unit);   ///< "3.1 points"
/// "p = 0.012", "p < 0.001"
std::string p_text(double p);
/// Comparable between units: 1 = a hundredth of the scale (a point; 0.01 nats; 1 % of the baseline's rating).
double severity(double damage, Unit unit, double baseline);

/// A slice on the first metric of its task.
struct SliceRow {
  const SliceScore* score = nullptr;  ///< the baseline's
  Unit unit = Unit::points;
  bool is_whole_task = false;
  /// By candidate; null where it was not compared there.
  std::vector<const SliceDifference*> damages;
  std::vector<double> p_adjusted;  ///< of being worse: Holm over the rows of a candidate
  std::string label() const;       ///< "task", "task · slice"
};

/// Level of the tests and of one minus the intervals.
inline constexpr double kLevel = 0.05;

enum class Difference { worse, better, unsure, unknown };
/// worse: the adjusted p is below kLevel. better: the interval lies below 0.
Difference difference_of(const SliceRow& row, size_t candidate);

/// Of a candidate over all rows.
struct Summary {
  size_t compared = 0, worse = 0, better = 0;
  const SliceRow* worst = nullptr;  ///< the surest and largest damage; null where nothing was compared
  int64_t flips_worse = 0, flips_better = 0,
          paired_items = 0;     ///< over whole tasks with right and wrong answers
  MeanEstimate average_damage;  ///< over whole tasks in points, each counting the same; items = tasks
};

struct Evidence {
  const ReportInput* input = nullptr;
  std::vector<const Scorecard*> cards;  ///< the baseline, then the candidates
  std::vector<SliceRow> rows;           ///< whole tasks in the suite's order, then slices, worst first
  std::vector<Summary> summaries;       ///< by candidate

  size_t candidates() const { return input->candidates.size(); }
  const ReportEntry& candidate(size_t c) const { return input->candidates[c]; }
};

Evidence gather(const ReportInput& input);

/// "A" is the baseline, "B" the first candidate.
std::string letter(size_t card);

/// Mean over the tasks in points of a card, each task counting the same; items = tasks.
MeanEstimate average_score(const Scorecard& card);

/// Of a card, whole tasks: the score of a task on a metric, or null.
const SliceScore* task_score(const Scorecard& card, std::string_view task, std::string_view metric);

}  // namespace carat
