// Quality against bytes: the average over tasks, then each task, each with its Pareto front.
#include <cmath>

#include "report/chart.h"
#include "report/sections.h"

namespace carat {
namespace {

/// More small charts than these say less.
constexpr size_t kMostTasks = 8;

ScatterChart average_chart(const Evidence& e) {
  ScatterChart chart;
  chart.x_title = "size of the file";
  chart.y_factor = 100;
  for (size_t i = 0; i < e.cards.size(); ++i) {
    const MeanEstimate average = average_score(*e.cards[i]);
    if (average.items == 0 || e.cards[i]->file_bytes <= 0) continue;
    chart.points.push_back({i, letter(i) + " " + e.cards[i]->variant.name,
                            static_cast<double>(e.cards[i]->file_bytes), average.mean, average.interval,
                            i == 0});
  }
  return chart;
}

ScatterChart task_chart(const Evidence& e, const SliceRow& row) {
  ScatterChart chart;
  chart.x_title = "size of the file";
  chart.lower_is_better = is_loss(row.unit);
  chart.y_factor = row.unit == Unit::points ? 100 : 1;
  chart.y_title = row.score->metric;
  if (row.unit == Unit::points) chart.y_title += ", %";
  if (row.unit == Unit::nats) chart.y_title += ", nats";
  chart.y_title = clipped_text(chart.y_title, 24);
  for (size_t i = 0; i < e.cards.size(); ++i) {
    const SliceScore* s = task_score(*e.cards[i], row.score->task, row.score->metric);
    if (!s || s->value.items == 0 || !std::isfinite(s->value.mean) || e.cards[i]->file_bytes <= 0) continue;
    chart.points.push_back({i, letter(i), static_cast<double>(e.cards[i]->file_bytes), s->value.mean,
                            s->value.interval, i == 0});
  }
  return chart;
}

Markup figure(const ScatterChart& chart) {
  return markup("<figure class=\"{}\"><figcaption dir=\"auto\">{}</figcaption>{}</figure>",
                chart.large ? "large" : "small", chart.title, scatter_svg(chart));
}

/// "B and D": the letters on the front.
std::string front_letters(const ScatterChart& chart) {
  std::string out;
  for (const size_t i : pareto_front(chart))
    out += (out.empty() ? "" : ", ") + letter(chart.points[i].series);
  return out;
}

}  // namespace

Markup quality_section(const Evidence& e) {
  std::vector<const SliceRow*> tasks;
  size_t in_points = 0;
  for (const SliceRow& row : e.rows) {
    if (!row.is_whole_task || row.score->value.items == 0) continue;
    tasks.push_back(&row);
    in_points += row.unit == Unit::points;
  }
  Markup charts;
  std::string front;
  ScatterChart average = average_chart(e);
  if (in_points > 1 && !average.points.empty()) {
    average.title = fmt::format("Average over {} tasks, each counting the same", in_points);
    average.y_title = "average score, %";
    front = front_letters(average);
    charts += figure(average);
  }
  const bool is_only_task = tasks.size() == 1;
  for (size_t i = 0; i < tasks.size() && i < kMostTasks; ++i) {
    ScatterChart chart = task_chart(e, *tasks[i]);
    if (chart.points.empty()) continue;
    chart.title = clipped_text(tasks[i]->score->task, 44);
    chart.large = is_only_task;
    if (is_only_task) {
      front = front_letters(chart);
      for (ChartPoint& p : chart.points) p.label += " " + e.cards[p.series]->variant.name;
    }
    charts += figure(chart);
  }
  if (charts.empty()) return {};
  Markup out = markup(
      "<section><h2>Quality against bytes</h2><p>Up is better, left is smaller. The line is the Pareto "
      "front{}: what is not on it is beaten in one by a variant that loses nothing in the other. Bars are "
      "95 % intervals of each score alone; differences on the same items are surer and stand below. The "
      "square is the baseline.</p>",
      front.empty() ? "" : " (" + front + ")");
  out += markup("<div class=\"charts\">{}</div>", charts);
  if (tasks.size() > kMostTasks)
    out += markup("<p class=\"soft\">{} more tasks are in the table below.</p>", tasks.size() - kMostTasks);
  out += Markup("</section>");
  return out;
}

}  // namespace carat
