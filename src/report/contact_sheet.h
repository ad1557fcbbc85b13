// Small images side by side with their names and captions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace loraptor::report {

struct PageImage {
  std::string data_url;
  int64_t width = 0;  // px, of the embedded image
  int64_t height = 0;
  std::string name;
  std::string caption;
};

struct ContactSheet {
  std::string title;
  std::vector<PageImage> images;
  int64_t left_out = 0;  // images that are not shown
};

/// As a section of a page whose style is kReportStyle.
std::string contact_sheet_html(const ContactSheet& sheet);

}  // namespace loraptor::report
