// What `loraptor dataset` prints, and what it puts into its page.
#pragma once

#include <string>

#include "pipeline/dataset_report.h"
#include "report/dataset_page.h"

namespace loraptor::cli {

/// Tables, caption lengths, tags, problems and notes as lines of text. All files of problems are named, of notes only
/// the first ones unless `all_files`.
std::string dataset_text(const pipeline::DatasetReport& report, bool all_files);

/// The file of a finding and what is said of it, in one line.
std::string finding_line(const data::FileFinding& file);

/// "1 problem and 2 notes".
std::string findings_count(const pipeline::DatasetReport& report);

/// How often each tag occurs in the captions of the training images (without repeats), the most frequent first.
report::TagCounts tag_counts(const data::Dataset& dataset);

/// The page.
///   title       what the data set is called
///   per_bucket  images shown of each bucket; those are decoded now
report::DatasetPage dataset_page(const pipeline::DatasetReport& report, const std::string& title, int64_t per_bucket);

}  // namespace loraptor::cli
