#include "report/chart.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace carat {
namespace {

/// From values to pixels; `from` may lie on either side of `to`.
struct Scale {
  double low = 0, high = 1, from = 0, to = 1;
  double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

struct Frame {
  double width, height, left, right, top, bottom;  ///< of the picture; margins
  double font, label_distance;
  int64_t label_columns;
};
constexpr Frame kLarge{520, 300, 66, 146, 12, 44, 13, 16, 17};
constexpr Frame kSmall{330, 210, 60, 56, 12, 42, 12, 13, 4};

std::string tick_text(double value) {
  if (value == 0) return "0";
  return fmt::format("{:.4g}", value);
}

/// Room around what is drawn; a range of nothing becomes one of something.
std::pair<double, double> padded(double low, double high) {
  double room = 0.06 * (high - low);
  if (!(room > 0)) room = std::max(0.05 * std::abs(low), 1e-3);
  return {low - room, high + room};
}

Markup open_svg(const Frame& f, const std::string& title) {
  return markup("<svg role=\"img\" viewBox=\"0 0 {:.0f} {:.0f}\" font-size=\"{:.0f}\"><title>{}</title>",
                f.width, f.height, f.font, title);
}

Markup axes(const Frame& f, const Scale& x, const Scale& y, const std::vector<double>& x_ticks,
            double x_factor, const std::vector<double>& y_ticks, double y_factor, const std::string& x_title,
            const std::string& y_title) {
  Markup out;
  const double bottom = f.height - f.bottom, right = f.width - f.right;
  for (const double t : y_ticks) {
    out += markup("<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", f.left,
                  right, y(t), y(t));
    out += markup("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", f.left - 6,
                  y(t) + f.font * 0.35, tick_text(t * y_factor));
  }
  for (const double t : x_ticks) {
    out += markup("<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", x(t),
                  x(t), f.top, bottom);
    out += markup("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", x(t),
                  bottom + f.font * 1.3, tick_text(t * x_factor));
  }
  out += markup("<text class=\"axis\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
                (f.left + right) / 2, f.height - f.font * 0.5, x_title);
  out += markup(
      "<text class=\"axis\" transform=\"translate({:.1f} {:.1f}) rotate(-90)\" "
      "text-anchor=\"middle\">{}</text>",
      f.font * 0.9, (f.top + bottom) / 2, y_title);
  return out;
}

struct Label {
  size_t series;
  std::string text;
  double x, y;  ///< of what it names
};

Markup labels_beside(const Frame& f, const std::vector<Label>& labels) {
  std::vector<double> wanted;
  for (const Label& l : labels) wanted.push_back(l.y);
  const std::vector<double> at =
      spread_apart(wanted, f.top + f.font * 0.4, f.height - f.bottom - f.font * 0.2, f.label_distance);
  Markup out;
  const double start = f.width - f.right + 16;
  for (size_t i = 0; i < labels.size(); ++i) {
    out += markup("<path class=\"lead\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}\"/>", labels[i].x + 6,
                  labels[i].y, f.width - f.right + 4, at[i], start - 3, at[i]);
    out += markup("<text class=\"v{} name\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", labels[i].series % 8, start,
                  at[i] + f.font * 0.35, clipped_text(labels[i].text, f.label_columns));
  }
  return out;
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int count) {
  if (!(high > low) || !std::isfinite(high - low)) return {low};
  const double raw = (high - low) / std::max(1, count);
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double step = power * (raw / power < 1.5 ? 1 : raw / power < 3.5 ? 2 : raw / power < 7.5 ? 5 : 10);
  std::vector<double> out;
  for (double k = std::ceil(low / step); k * step <= high && out.size() < 50; ++k) out.push_back(k * step);
  return out;
}

std::vector<double> spread_apart(std::vector<double> wanted, double low, double high, double distance) {
  const size_t n = wanted.size();
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return wanted[i]; });
  if (n > 1) distance = std::min(distance, (high - low) / static_cast<double>(n - 1));
  double previous = low - distance;
  for (const size_t i : order) previous = wanted[i] = std::max(wanted[i], previous + distance);
  double next = high + distance;
  for (size_t k = n; k-- > 0;) next = wanted[order[k]] = std::min(wanted[order[k]], next - distance);
  return wanted;
}

std::vector<size_t> pareto_front(const ScatterChart& chart) {
  std::vector<size_t> order(chart.points.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto quality = [&](size_t i) {
    return chart.lower_is_better ? -chart.points[i].y : chart.points[i].y;
  };
  std::ranges::sort(order, [&](size_t a, size_t b) {
    const double xa = chart.points[a].x, xb = chart.points[b].x;
    return xa != xb ? xa < xb : quality(a) != quality(b) ? quality(a) > quality(b) : a < b;
  });
  std::vector<size_t> front;
  for (const size_t i : order)
    if (front.empty() || quality(i) > quality(front.back())) front.push_back(i);
  return front;
}

Markup scatter_svg(const ScatterChart& chart) {
  if (chart.points.empty()) return {};
  const Frame& f = chart.large ? kLarge : kSmall;
  double x_high = 0, y_low = HUGE_VAL, y_high = -HUGE_VAL;
  for (const ChartPoint& p : chart.points) {
    x_high = std::max(x_high, p.x);
    for (const double y : {p.y, p.interval.low, p.interval.high}) {
      if (!std::isfinite(y)) continue;
      y_low = std::min(y_low, y);
      y_high = std::max(y_high, y);
    }
  }
  std::tie(y_low, y_high) = padded(y_low, y_high);
  const double bottom = f.height - f.bottom;
  const Scale x{0, x_high > 0 ? 1.08 * x_high : 1, f.left, f.width - f.right};
  const Scale y =
      chart.lower_is_better ? Scale{y_low, y_high, f.top, bottom} : Scale{y_low, y_high, bottom, f.top};
  // Whole numbers of the unit that suits the largest file.
  const double unit = x_high >= 1e9 ? 1e9 : 1e6;
  Markup out = open_svg(f, chart.title);
  out += axes(f, x, y, round_ticks(0, x.high, chart.large ? 6 : 4), 1 / unit,
              round_ticks(y_low, y_high, chart.large ? 6 : 4), chart.y_factor,
              chart.x_title + (unit == 1e9 ? " (GB)" : " (MB)"), chart.y_title);

  const std::vector<size_t> front = pareto_front(chart);
  std::string path;
  for (size_t k = 0; k < front.size(); ++k)
    path += fmt::format("{}{:.1f} {:.1f}", k == 0 ? "M" : "L", x(chart.points[front[k]].x),
                        y(chart.points[front[k]].y));
  if (front.size() > 1) out += markup("<path class=\"front\" d=\"{}\"/>", path);

  std::vector<Label> labels;
  for (const ChartPoint& p : chart.points) {
    const double px = x(p.x), py = y(p.y);
    if (std::isfinite(p.interval.low) && std::isfinite(p.interval.high))
      out += markup("<path class=\"v{} bar\" d=\"M{:.1f} {:.1f}V{:.1f}M{:.1f} {:.1f}h8M{:.1f} {:.1f}h8\"/>",
                    p.series % 8, px, y(p.interval.low), y(p.interval.high), px - 4, y(p.interval.low),
                    px - 4, y(p.interval.high));
    if (p.is_baseline)
      out += markup("<rect class=\"v{} dot\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"10\" height=\"10\"/>",
                    p.series % 8, px - 5, py - 5);
    else
      out += markup("<circle class=\"v{} dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\"/>", p.series % 8, px, py);
    labels.push_back({p.series, p.label, px, py});
  }
  out += labels_beside(f, labels);
  out += Markup("</svg>");
  return out;
}

Markup line_svg(const LineChart& chart) {
  const Frame& f = kLarge;
  double x_high = 0, y_high = 0;
  for (const ChartLine& line : chart.lines)
    for (const auto& [px, py] : line.points) {
      x_high = std::max(x_high, px);
      y_high = std::max(y_high, py);
    }
  const Scale x{0, x_high > 0 ? x_high : 1, f.left, f.width - f.right};
  const Scale y{0, y_high > 0 ? 1.06 * y_high : 1, f.height - f.bottom, f.top};
  std::vector<double> x_ticks;
  for (const double t : round_ticks(0, x.high, 8))
    if (t == std::floor(t)) x_ticks.push_back(t);
  Markup out = open_svg(f, chart.title);
  out += axes(f, x, y, x_ticks, 1, round_ticks(0, y.high, 6), chart.y_factor, chart.x_title, chart.y_title);
  std::vector<Label> labels;
  for (const ChartLine& line : chart.lines) {
    if (line.points.empty()) continue;
    std::string path;
    for (const auto& [px, py] : line.points)
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x(px), y(py));
    out += markup("<path class=\"v{} line\" d=\"{}\"/>", line.series % 8, path);
    labels.push_back({line.series, line.label, x(line.points.back().first), y(line.points.back().second)});
  }
  out += labels_beside(f, labels);
  out += Markup("</svg>");
  return out;
}

}  // namespace carat
