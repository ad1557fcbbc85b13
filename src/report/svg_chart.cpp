// Line charts as SVG text.
#include "report/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace loraptor::report {
namespace {

using Points = std::vector<std::pair<double, double>>;

constexpr size_t kPointLimit = 1000;
constexpr size_t kDotLimit = 2;  // a curve this short is drawn as dots

/// Grows to hold all finite values that it is shown.
struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  AxisRange widened_if_flat() const {
    if (!(low <= high)) return {0, 1};
    if (high > low) return {low, high};
    const double margin = high != 0 ? std::fabs(high) * 0.1 : 1;
    return {low - margin, high + margin};
  }
};

Plot plot_of(const Chart& chart) {
  Range x, y;
  for (const auto& curve : chart.curves) {
    for (const auto& [px, py] : curve.points) {
      x.include(px);
      y.include(py);
    }
  }
  if (!(y.low <= y.high)) y.include(1);
  if (chart.from_zero) y.include(0);
  Plot plot{x.widened_if_flat(), y.widened_if_flat()};
  plot.y.high += (plot.y.high - plot.y.low) * 0.04;
  return plot;
}

std::string path_of(const Curve& curve, const Plot& plot) {
  const Points points = thinned(curve.points, kPointLimit);
  if (points.size() <= kDotLimit) {
    std::string dots;
    for (const auto& [x, y] : points) {
      if (!std::isfinite(y)) continue;
      dots += fmt::format("<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>", curve.style, plot.at_x(x),
                          plot.at_y(y));
    }
    return dots;
  }
  std::string d;
  bool is_pen_down = false;
  for (const auto& [x, y] : points) {
    if (!std::isfinite(y)) {
      is_pen_down = false;
      continue;
    }
    d += fmt::format("{}{:.1f} {:.1f}", is_pen_down ? 'L' : 'M', plot.at_x(x), plot.at_y(y));
    is_pen_down = true;
  }
  return fmt::format("<path class=\"curve {}\" d=\"{}\"/>\n", curve.style, d);
}

}  // namespace

Points thinned(const Points& points, size_t limit) {
  if (points.size() <= limit || limit < 4) return points;
  const size_t stretches = limit / 2;
  Points kept;
  for (size_t s = 0; s < stretches; ++s) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(points.size() * s / stretches);
    const auto end = points.begin() + static_cast<std::ptrdiff_t>(points.size() * (s + 1) / stretches);
    const auto by_y = [](const auto& a, const auto& b) { return a.second < b.second; };
    const auto [low, high] = std::minmax_element(begin, end, by_y);
    kept.push_back(*std::min(low, high));
    if (low != high) kept.push_back(*std::max(low, high));
  }
  return kept;
}

Points smoothed(const Points& points, double window) {
  const double keep = 1 - 2 / (std::max(1.0, window) + 1);
  double sum = 0, weight = 0;
  Points result;
  for (const auto& [x, y] : points) {
    if (std::isfinite(y)) {
      sum = keep * sum + (1 - keep) * y;
      weight = keep * weight + (1 - keep);
    }
    result.emplace_back(x, weight > 0 ? sum / weight : y);
  }
  return result;
}

std::string svg_chart(const Chart& chart) {
  const Plot plot = plot_of(chart);
  std::string svg = svg_open(chart.title) + svg_axes(plot, chart.x_label);
  for (const auto& curve : chart.curves) svg += path_of(curve, plot);
  svg += "</svg>\n";
  if (chart.curves.size() < 2) return svg;
  svg += "<p class=\"legend\">";
  for (const auto& curve : chart.curves) {
    svg += fmt::format("<span><i class=\"{}\"></i>{}</span>", curve.style, escape_html(curve.name));
  }
  return svg + "</p>\n";
}

}  // namespace loraptor::report
