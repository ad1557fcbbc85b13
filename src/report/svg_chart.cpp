// Line charts as SVG text.
#include "report/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace loraptor::report {
namespace {

using Points = std::vector<std::pair<double, double>>;

// Drawing area in SVG units.
constexpr double kWidth = 720, kHeight = 260, kLeft = 58, kRight = 26, kTop = 10, kBottom = 40;
constexpr size_t kPointLimit = 1000;
constexpr size_t kDotLimit = 2;  // a curve this short is drawn as dots

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return !(low <= high); }
  void widen_if_flat() {
    if (high > low) return;
    const double margin = high != 0 ? std::fabs(high) * 0.1 : 1;
    low -= margin;
    high += margin;
  }
};

struct Scale {
  Range x, y;
  double at_x(double value) const { return kLeft + (value - x.low) / (x.high - x.low) * (kWidth - kLeft - kRight); }
  double at_y(double value) const {
    return kHeight - kBottom - (value - y.low) / (y.high - y.low) * (kHeight - kTop - kBottom);
  }
};

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

Scale scale_of(const Chart& chart) {
  Scale scale;
  for (const auto& curve : chart.curves) {
    for (const auto& [x, y] : curve.points) {
      scale.x.include(x);
      scale.y.include(y);
    }
  }
  if (scale.x.empty()) scale.x = {0, 1};
  if (scale.y.empty()) scale.y = {0, 1};
  if (chart.from_zero) scale.y.include(0);
  scale.x.widen_if_flat();
  scale.y.widen_if_flat();
  scale.y.high += (scale.y.high - scale.y.low) * 0.04;
  return scale;
}

std::string axes(const Scale& scale, const std::string& x_label) {
  std::string svg;
  for (double value : round_ticks(scale.y.low, scale.y.high, 5)) {
    const double y = scale.at_y(value);
    svg += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft, kWidth - kRight,
                       y, y);
    svg += fmt::format("<text class=\"tick\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kLeft - 7, y + 3.5,
                       tick_text(value));
  }
  const double bottom = kHeight - kBottom;
  for (double value : round_ticks(scale.x.low, scale.x.high, 8)) {
    const double x = scale.at_x(value);
    svg +=
        fmt::format("<line class=\"axis\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{}\" y2=\"{}\"/>", x, x, bottom, bottom + 4);
    svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x, bottom + 18,
                       tick_text(value));
  }
  svg += fmt::format("<line class=\"axis\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>", kLeft, kWidth - kRight, bottom,
                     bottom);
  svg += fmt::format("<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kWidth - kRight,
                     kHeight - 3, escape_html(x_label));
  return svg;
}

std::string path_of(const Curve& curve, const Scale& scale) {
  const Points points = thinned(curve.points, kPointLimit);
  if (points.size() <= kDotLimit) {
    std::string dots;
    for (const auto& [x, y] : points) {
      if (!std::isfinite(y)) continue;
      dots += fmt::format("<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>", curve.style, scale.at_x(x),
                          scale.at_y(y));
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
    d += fmt::format("{}{:.1f} {:.1f}", is_pen_down ? 'L' : 'M', scale.at_x(x), scale.at_y(y));
    is_pen_down = true;
  }
  return fmt::format("<path class=\"curve {}\" d=\"{}\"/>\n", curve.style, d);
}

}  // namespace

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
  const Scale scale = scale_of(chart);
  std::string svg = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", kWidth, kHeight,
                                escape_html(chart.title));
  svg += axes(scale, chart.x_label);
  for (const auto& curve : chart.curves) svg += path_of(curve, scale);
  svg += "</svg>\n";
  if (chart.curves.size() < 2) return svg;
  svg += "<p class=\"legend\">";
  for (const auto& curve : chart.curves) {
    svg += fmt::format("<span><i class=\"{}\"></i>{}</span>", curve.style, escape_html(curve.name));
  }
  return svg + "</p>\n";
}

}  // namespace loraptor::report
