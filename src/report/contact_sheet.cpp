#include "report/contact_sheet.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/svg_chart.h"

namespace loraptor::report {
namespace {

std::string image_html(const PageImage& image) {
  const std::string name = escape_html(image.name), caption = escape_html(image.caption);
  // A caption never makes its figure wider than the image, which is shown 150 px high.
  const int64_t width = std::max<int64_t>(90, 150 * image.width / std::max<int64_t>(1, image.height));
  return fmt::format(
      "<figure style=\"width:{}px\"><img src=\"{}\" alt=\"{}\" title=\"{}\" width=\"{}\" height=\"{}\">"
      "<figcaption title=\"{}\"><b>{}</b><span>{}</span></figcaption></figure>\n",
      width, image.data_url, name, caption, image.width, image.height, caption, name,
      caption.empty() ? "(no caption)" : caption);
}

}  // namespace

std::string contact_sheet_html(const ContactSheet& sheet) {
  std::string html =
      fmt::format("<section class=\"card\">\n<h2>{}</h2>\n<div class=\"sheet\">\n", escape_html(sheet.title));
  for (const PageImage& image : sheet.images) html += image_html(image);
  if (sheet.left_out > 0) html += fmt::format("<p class=\"more\">and {} more</p>\n", sheet.left_out);
  return html + "</div>\n</section>\n";
}

}  // namespace loraptor::report
