// The table of settings that a run prints when it starts, and that the report page shows.
#pragma once

#include <string>
#include <vector>

namespace loraptor::report {

struct SummaryRow {
  std::string name;    // "learning_rate"
  std::string value;   // "0.0001"
  std::string origin;  // "command line", "config.toml"; empty for defaults and derived numbers
};

struct SummarySection {
  std::string title;
  std::vector<SummaryRow> rows;
};

/// The table as text: a line per section title, indented rows in aligned columns, origins in brackets.
std::string format_summary(const std::vector<SummarySection>& sections);

}  // namespace loraptor::report
