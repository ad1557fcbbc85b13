// The page of `loraptor dataset --html`: what a training run would see, in one self-contained file.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "report/contact_sheet.h"
#include "report/svg_histogram.h"

namespace loraptor::report {

/// One problem or note with the files it is about, a line each.
struct PageFinding {
  bool is_problem = false;
  std::string text;
  std::vector<std::string> lines;
};

struct PageTable {
  std::string title;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;  // as many cells as the head; all but the first are numbers
};

struct PageChart {
  std::string title;
  std::string remark;  // below the title; may be empty
  Histogram histogram;
};

/// Words of captions and how many images have them.
using TagCounts = std::vector<std::pair<std::string, int64_t>>;

struct DatasetPage {
  std::string title;
  std::string subtitle;
  std::vector<std::pair<std::string, std::string>> tiles;  // number, what it counts
  std::vector<PageFinding> findings;                       // problems first
  std::vector<PageTable> tables;
  std::vector<PageChart> charts;
  std::vector<ContactSheet> sheets;
  TagCounts tags;             // most frequent first
  int64_t tags_left_out = 0;  // rarer ones that are not in `tags`
};

/// The page as HTML text. It refers to nothing outside itself and runs no script.
std::string dataset_page_html(const DatasetPage& page);

}  // namespace loraptor::report
