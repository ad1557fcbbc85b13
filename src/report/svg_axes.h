// The drawing area that all charts of a page share: scales, round ticks, grid and axis lines as SVG text.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace loraptor::report {

/// Values from low to high; not flat.
struct AxisRange {
  double low = 0;
  double high = 1;
};

/// Maps values to SVG units.
struct Plot {
  AxisRange x, y;

  double at_x(double value) const;
  double at_y(double value) const;
  double bottom() const;  // where the x axis lies
  double top() const;
};

/// A place on the x axis and what is written there.
using AxisTicks = std::vector<std::pair<double, std::string>>;

/// "<svg …>" with the size of the drawing area; `title` is read by screen readers.
std::string svg_open(const std::string& title);

/// Grid lines with their numbers, x axis with its label.
///   x_ticks   empty: round numbers
std::string svg_axes(const Plot& plot, const std::string& x_label, const AxisTicks& x_ticks = {});

/// Round numbers covering [low, high]: steps of 1, 2 or 5 times a power of ten, about `count` of them.
std::vector<double> round_ticks(double low, double high, int count);

/// Text with &, <, > and quotes made harmless.
std::string escape_html(const std::string& text);

}  // namespace loraptor::report
