// The part of a data set's report that looks at single files.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "data/dataset_build.h"
#include "pipeline/dataset_report.h"

namespace loraptor::pipeline {

using FileProgress = std::function<void(int64_t done, int64_t total)>;

/// Decodes every image and compares the bytes of all. Images that cannot be read are removed from `scanned`. Adds the
/// findings. Returns the number of files.
int64_t check_image_files(data::ScannedDatasets& scanned, std::vector<Finding>& findings, const FileProgress& progress);

/// Removes images for which no bucket can be found (or, without buckets, no crop), and adds the finding.
void check_image_sizes(data::ScannedDatasets& scanned, std::vector<Finding>& findings);

/// Masks must have the size of their image. Adds the finding; such images are removed.
void check_mask_sizes(data::ScannedDatasets& scanned, std::vector<Finding>& findings);

/// The subsets of the description that are not trained on.
void check_subsets(const data::ScannedDatasets& scanned, std::vector<Finding>& findings);

/// Files that look like images and are not read because of how their names end.
void check_unread_files(const data::ScannedDatasets& scanned, std::vector<Finding>& findings);

/// Adds a finding, with the number of files, unless there are none.
void add_finding(std::vector<Finding>& findings, bool is_problem, const std::string& text,
                 std::vector<data::FileFinding> files);

}  // namespace loraptor::pipeline
