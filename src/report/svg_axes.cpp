#include "report/svg_axes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace loraptor::report {
namespace {

// Drawing area in SVG units.
constexpr double kWidth = 720, kHeight = 260, kLeft = 58, kRight = 26, kTop = 10, kBottom = 40;

std::string tick_text(double value) {
  if (std::fabs(value) < 1e-300) return "0";
  if (std::fabs(value) >= 1e6 || std::fabs(value) < 1e-3) {
    std::string text = fmt::format("{:.2e}", value);  // 1.00e-04 -> 1e-4
    const size_t e = text.find('e');
    std::string mantissa = text.substr(0, e);
    while (mantissa.find('.') != std::string::npos && (mantissa.back() == '0' || mantissa.back() == '.'))
      mantissa.pop_back();
    return fmt::format("{}e{}", mantissa, std::stoi(text.substr(e + 1)));
  }
  return fmt::format("{:.6g}", value);
}

}  // namespace

double Plot::at_x(double value) const { return kLeft + (value - x.low) / (x.high - x.low) * (kWidth - kLeft - kRight); }

double Plot::at_y(double value) const {
  return kHeight - kBottom - (value - y.low) / (y.high - y.low) * (kHeight - kTop - kBottom);
}

double Plot::bottom() const { return kHeight - kBottom; }

double Plot::top() const { return kTop; }

std::string svg_open(const std::string& title) {
  return fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", kWidth, kHeight,
                     escape_html(title));
}

std::string svg_axes(const Plot& plot, const std::string& x_label, const AxisTicks& x_ticks) {
  std::string svg;
  for (double value : round_ticks(plot.y.low, plot.y.high, 5)) {
    const double y = plot.at_y(value);
    svg += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft, kWidth - kRight,
                       y, y);
    svg += fmt::format("<text class=\"tick\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kLeft - 7, y + 3.5,
                       tick_text(value));
  }
  AxisTicks ticks = x_ticks;
  if (ticks.empty()) {
    for (double value : round_ticks(plot.x.low, plot.x.high, 8)) ticks.emplace_back(value, tick_text(value));
  }
  const double bottom = plot.bottom();
  for (const auto& [value, text] : ticks) {
    const double x = plot.at_x(value);
    svg +=
        fmt::format("<line class=\"axis\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{}\" y2=\"{}\"/>", x, x, bottom, bottom + 4);
    svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x, bottom + 18,
                       escape_html(text));
  }
  svg += fmt::format("<line class=\"axis\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>", kLeft, kWidth - kRight, bottom,
                     bottom);
  svg += fmt::format("<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kWidth - kRight,
                     kHeight - 3, escape_html(x_label));
  return svg;
}

std::vector<double> round_ticks(double low, double high, int count) {
  const double raw = (high - low) / std::max(1, count);
  if (!(raw > 0) || !std::isfinite(raw)) return {low};
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (double nice : {1.0, 2.0, 5.0}) {
    if (raw <= nice * power * 1.0000001) {
      step = nice * power;
      break;
    }
  }
  std::vector<double> ticks;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) ticks.push_back(i * step);
  return ticks;
}

std::string escape_html(const std::string& text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

}  // namespace loraptor::report
