// Reads the description of the data sets: a TOML or JSON file, or the folders named by flags.
#pragma once

#include "data/data_config.h"
#include "data/dataset_config.h"

namespace loraptor::data {

/// Returns the data sets that the flags describe. For each key the first of these counts: subset, its data set,
/// [general], flag, built-in default.
///   * dataset_config: the file's data sets. `*.toml` or `*.json` (any case); the three folders are then ignored.
///   * in_json: one data set of kind metadata.
///   * else: one data set; its subsets are the sub-folders of train_data_dir and reg_data_dir named
///     <repeats>_<class tokens>.
/// Throws UsageError that lists all problems, each with file, line, key, what was got and what was expected: unknown
/// key (with the nearest known one), wrong type, missing key, mixed kinds, missing resolution, bucket limits and steps,
/// unknown interpolation, impossible combinations. FileError if the file cannot be read or parsed.
/// Source: sd-scripts@48d368f library/config_util.py.
DatasetsConfig load_datasets_config(const DataConfig& flags);

/// What stands against caching latents (text encoder outputs): one text per subset with a random augmentation (a
/// caption that changes). Empty if nothing does.
std::vector<std::string> latents_not_cacheable(const DatasetsConfig& config);
std::vector<std::string> text_not_cacheable(const DatasetsConfig& config);

/// The same for caching some drawn captions of each image: what changes with the step cannot be drawn in advance.
std::vector<std::string> text_not_drawable(const DatasetsConfig& config);

}  // namespace loraptor::data
