// The two charts of the page as SVG: values with intervals against bytes, and lines over layers. Texts beside
// the plot name what is drawn, moved apart so that they never overlap, each with a thin line to its point.
#pragma once

#include <string>
#include <vector>

#include "report/markup.h"
#include "statistics/estimates.h"

namespace carat {

struct ChartPoint {
  size_t series = 0;  ///< decides the colour
  std::string label;
  double x = 0, y = 0;
  Interval interval;  ///< of y; drawn where finite
  bool is_baseline = false;
};

struct ScatterChart {
  std::string title, x_title, y_title;
  bool lower_is_better = false;  ///< the axis then grows downwards: up is always better
  bool large = true;
  double y_factor = 1;  ///< what values are multiplied with to be written: 100 for percent
  std::vector<ChartPoint> points;
};

/// Points that no other beats in one of x (less is better) and y without losing in the other.
std::vector<size_t> pareto_front(const ScatterChart& chart);
/// Nothing where there are no points.
Markup scatter_svg(const ScatterChart& chart);

struct ChartLine {
  size_t series = 0;
  std::string label;
  std::vector<std::pair<double, double>> points;
};
struct LineChart {
  std::string title, x_title, y_title;
  double y_factor = 1;
  std::vector<ChartLine> lines;
};
/// From 0 upwards.
Markup line_svg(const LineChart& chart);

/// About `count` round values within [low, high].
std::vector<double> round_ticks(double low, double high, int count);
/// Positions as near to `wanted` as they can be with `distance` between each two, within [low, high]; where
/// they do not fit, evenly spread.
std::vector<double> spread_apart(std::vector<double> wanted, double low, double high, double distance);

}  // namespace carat
