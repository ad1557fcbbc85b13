// Histograms as SVG text, drawn like the charts of svg_chart.h.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "report/svg_axes.h"

namespace loraptor::report {

/// How many values lie in each of equal stretches.
struct Histogram {
  std::string title;  // read by screen readers
  std::string x_label;
  std::string style = "series-1";  // CSS class that sets the colour
  double low = 0;                  // where the first bar begins
  double step = 1;                 // width of a bar
  std::vector<int64_t> counts;
  std::vector<std::pair<double, std::string>> marks;  // vertical lines with a label (may be empty), such as a limit
  AxisTicks ticks;                                    // of the x axis; empty: round numbers
};

/// Counts values in at most about `bars` stretches with round bounds, whole ones at least 1 wide if `whole`. Values
/// that are not finite are left out.
Histogram count_values(const std::vector<double>& values, int bars, bool whole);

/// The histogram as an <svg> element that scales with its container. Marks beyond the bars widen the x axis.
std::string svg_histogram(const Histogram& histogram);

}  // namespace loraptor::report
