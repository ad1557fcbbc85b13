// Line charts as SVG text, for the report page: axes with round ticks, thinned curves, colours from the page's style.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "report/svg_axes.h"

namespace loraptor::report {

/// One curve. Points that are not finite interrupt it.
struct Curve {
  std::string name;
  std::string style;  // CSS class that sets the colour: "series-1" ..., with "faint" for raw values
  std::vector<std::pair<double, double>> points;  // x ascending
};

struct Chart {
  std::string title;  // read by screen readers
  std::string x_label;
  bool from_zero = true;  // the y axis begins at 0 even where all values are well above
  std::vector<Curve> curves;
};

/// The chart as an <svg> element that scales with its container.
std::string svg_chart(const Chart& chart);

/// Shares of points for drawing: in each of `limit` / 2 equal stretches of the curve only the lowest and the highest.
std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& points, size_t limit);

/// Exponential moving average over about `window` points, without the pull towards zero at the start.
std::vector<std::pair<double, double>> smoothed(const std::vector<std::pair<double, double>>& points, double window);

}  // namespace loraptor::report
