// The table of settings.
#include "report/run_summary.h"

#include <fmt/format.h>

#include <algorithm>

namespace loraptor::report {
namespace {

/// Characters, not bytes, of UTF-8 text.
size_t display_width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, display_width(text)), ' ');
}

constexpr size_t kWidestAlignedValue = 48;

}  // namespace

std::string format_summary(const std::vector<SummarySection>& sections) {
  size_t name_width = 0, value_width = 0;
  for (const auto& section : sections) {
    for (const auto& row : section.rows) {
      name_width = std::max(name_width, display_width(row.name));
      value_width = std::max(value_width, std::min(kWidestAlignedValue, display_width(row.value)));
    }
  }
  std::string text;
  for (const auto& section : sections) {
    if (section.rows.empty()) continue;
    text += section.title + "\n";
    for (const auto& row : section.rows) {
      if (row.origin.empty()) text += fmt::format("  {}  {}\n", padded(row.name, name_width), row.value);
      else
        text +=
            fmt::format("  {}  {}  [{}]\n", padded(row.name, name_width), padded(row.value, value_width), row.origin);
    }
  }
  return text;
}

}  // namespace loraptor::report
