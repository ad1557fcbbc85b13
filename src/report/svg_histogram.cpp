#include "report/svg_histogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace loraptor::report {
namespace {

Plot histogram_plot(const Histogram& histogram) {
  const int64_t most =
      histogram.counts.empty() ? 0 : *std::max_element(histogram.counts.begin(), histogram.counts.end());
  Plot plot;
  plot.x = {histogram.low,
            histogram.low + histogram.step * static_cast<double>(std::max<size_t>(1, histogram.counts.size()))};
  plot.y = {0, 1.08 * static_cast<double>(std::max<int64_t>(4, most))};
  for (const auto& [x, label] : histogram.marks) {
    plot.x.low = std::min(plot.x.low, x - histogram.step / 2);
    plot.x.high = std::max(plot.x.high, x + histogram.step / 2);
  }
  return plot;
}

std::string bar_svg(const Plot& plot, double left, double right, int64_t count) {
  const double x = plot.at_x(left), width = plot.at_x(right) - x, y = plot.at_y(static_cast<double>(count));
  // A gap between neighbours, as long as they are wide enough for one.
  const double gap = width > 4 ? 1 : 0;
  return fmt::format("<rect class=\"bar-fill\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n",
                     x + gap / 2, y, std::max(0.5, width - gap), plot.bottom() - y);
}

std::string mark_svg(const Plot& plot, double at, const std::string& label) {
  const double x = plot.at_x(at);
  std::string svg = fmt::format("<line class=\"mark\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{}\" y2=\"{}\"/>\n", x, x,
                                plot.top(), plot.bottom());
  if (label.empty()) return svg;
  // In the right half of the plot the label stands before its line.
  const bool before = at > (plot.x.low + plot.x.high) / 2;
  return svg + fmt::format("<text class=\"label\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"{}\">{}</text>\n",
                           x + (before ? -5 : 5), plot.top() + 12, before ? "end" : "start", escape_html(label));
}

}  // namespace

Histogram count_values(const std::vector<double>& values, int bars, bool whole) {
  std::vector<double> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite), [](double v) { return std::isfinite(v); });
  Histogram histogram;
  if (finite.empty()) return histogram;
  const auto [low, high] = std::minmax_element(finite.begin(), finite.end());
  const std::vector<double> bounds = round_ticks(*low, *high, bars);
  double step = bounds.size() > 1 ? bounds[1] - bounds[0] : 1;
  if (whole) step = std::max(1.0, std::round(step));
  histogram.step = step;
  histogram.low = std::floor(*low / step) * step;
  for (const double value : finite) {
    const auto at = static_cast<size_t>(std::max(0.0, std::floor((value - histogram.low) / step)));
    if (at >= histogram.counts.size()) histogram.counts.resize(at + 1);
    ++histogram.counts[at];
  }
  return histogram;
}

std::string svg_histogram(const Histogram& histogram) {
  const Plot plot = histogram_plot(histogram);
  std::string svg = svg_open(histogram.title) + svg_axes(plot, histogram.x_label, histogram.ticks);
  for (const auto& [x, label] : histogram.marks) {
    if (label.empty()) svg += mark_svg(plot, x, label);
  }
  svg += fmt::format("<g class=\"{}\">\n", histogram.style);
  for (size_t i = 0; i < histogram.counts.size(); ++i) {
    if (histogram.counts[i] == 0) continue;
    const double left = histogram.low + histogram.step * static_cast<double>(i);
    svg += bar_svg(plot, left, left + histogram.step, histogram.counts[i]);
  }
  svg += "</g>\n";
  for (const auto& [x, label] : histogram.marks) {
    if (!label.empty()) svg += mark_svg(plot, x, label);
  }
  return svg + "</svg>\n";
}

}  // namespace loraptor::report
