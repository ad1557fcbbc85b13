#include "report/dataset_page.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "report/dataset_page_style.h"
#include "report/html_style.h"

namespace loraptor::report {
namespace {

constexpr size_t kLinesOfFinding = 1000;

std::string card(const std::string& title, const std::string& body) {
  return fmt::format("<section class=\"card\">\n<h2>{}</h2>\n{}</section>\n", escape_html(title), body);
}

std::string tiles_html(const DatasetPage& page) {
  std::string html = "<div class=\"tiles\">\n";
  for (const auto& [number, what] : page.tiles) {
    html += fmt::format("<div class=\"card\"><b>{}</b><span>{}</span></div>\n", escape_html(number), escape_html(what));
  }
  return html + "</div>\n";
}

std::string finding_html(const PageFinding& finding) {
  std::string lines;
  for (size_t i = 0; i < std::min(finding.lines.size(), kLinesOfFinding); ++i) {
    lines += fmt::format("<li>{}</li>\n", escape_html(finding.lines[i]));
  }
  if (finding.lines.size() > kLinesOfFinding) {
    lines += fmt::format("<li>and {} more</li>\n", finding.lines.size() - kLinesOfFinding);
  }
  // Problems are open, so that nothing that is wrong has to be searched for.
  const bool is_open = finding.is_problem && !finding.lines.empty();
  return fmt::format(
      "<details class=\"finding {0}\"{1}><summary><span class=\"badge\">{0}</span>{2}</summary>{3}</details>\n",
      finding.is_problem ? "problem" : "note", is_open ? " open" : "", escape_html(finding.text),
      lines.empty() ? "" : fmt::format("<ul>\n{}</ul>", lines));
}

std::string findings_html(const DatasetPage& page) {
  std::string html;
  const bool is_good =
      std::none_of(page.findings.begin(), page.findings.end(), [](const auto& f) { return f.is_problem; });
  if (is_good) html += "<p class=\"good\">No problems found.</p>\n";
  for (const PageFinding& finding : page.findings) html += finding_html(finding);
  return card("Problems and notes", html);
}

std::string table_html(const PageTable& table) {
  std::string html = "<div class=\"wide\"><table class=\"numbers\">\n<tr>";
  for (const auto& cell : table.head) html += fmt::format("<th>{}</th>", escape_html(cell));
  html += "</tr>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (const auto& cell : row) html += fmt::format("<td>{}</td>", escape_html(cell));
    html += "</tr>\n";
  }
  return card(table.title, html + "</table></div>\n");
}

std::string charts_html(const DatasetPage& page) {
  if (page.charts.empty()) return "";
  std::string html = "<div class=\"two\">\n";
  for (const PageChart& chart : page.charts) {
    const std::string remark =
        chart.remark.empty() ? "" : fmt::format("<p class=\"remark\">{}</p>\n", escape_html(chart.remark));
    html += card(chart.title, remark + svg_histogram(chart.histogram));
  }
  return html + "</div>\n";
}

std::string tags_html(const DatasetPage& page) {
  if (page.tags.empty()) return "";
  const auto most = static_cast<double>(page.tags.front().second);
  std::string html = "<div class=\"tags\">\n";
  for (const auto& [tag, count] : page.tags) {
    html += fmt::format(
        "<div class=\"tag\"><span title=\"{0}\">{0}</span><div><div "
        "style=\"width:{1:.1f}%\"></div></div><b>{2}</b></div>\n",
        escape_html(tag), 100 * static_cast<double>(count) / most, count);
  }
  html += "</div>\n";
  if (page.tags_left_out > 0) html += fmt::format("<p class=\"progress\">and {} rarer ones</p>\n", page.tags_left_out);
  return card("Most frequent tags", html);
}

}  // namespace

std::string dataset_page_html(const DatasetPage& page) {
  std::string html = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  html += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  html += fmt::format("<title>{} – Loraptor</title>\n<style>{}{}</style>\n</head>\n<body>\n<main>\n",
                      escape_html(page.title), kReportStyle, kDatasetPageStyle);
  html +=
      fmt::format("<h1>{}</h1>\n<p class=\"subtitle\">{}</p>\n", escape_html(page.title), escape_html(page.subtitle));
  html += tiles_html(page) + findings_html(page);
  for (const PageTable& table : page.tables) html += table_html(table);
  html += charts_html(page);
  for (const ContactSheet& sheet : page.sheets) html += contact_sheet_html(sheet);
  html += tags_html(page);
  html += fmt::format("<footer>Loraptor {} · {}</footer>\n</main>\n", LORAPTOR_VERSION, local_time_iso());
  return html + "</body>\n</html>\n";
}

}  // namespace loraptor::report
