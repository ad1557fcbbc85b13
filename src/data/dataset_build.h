// From the settings to a Dataset: scanning, splitting, balancing, buckets.
#pragma once

#include "data/dataset.h"
#include "data/subset_scan.h"

namespace loraptor::data {

/// A subset and all its images, before the split.
struct ScannedSubset {
  SubsetConfig config;
  std::vector<ScannedImage> images{};
  TextKeepers texts{};                       // of the images
  std::shared_future<void> index_written{};  // as ScannedImages::index_written
};

/// Scans the subsets of a data set. Left out, with a warning: repeats below 1, a folder that does not exist, a folder
/// or list that an earlier subset has. Those without images stay, for the statistics.
std::vector<ScannedSubset> scan_subsets(const DatasetConfig& config, ScanFindings* findings = nullptr);

/// How often each regularisation image is used so that together they match the training images.
///   repeats          of each image, in order
///   num_train_images training images with repeats
/// Returns the repeats of the images that are used, a prefix of the list.
/// Source: sd-scripts@48d368f library/train_util.py:DreamBoothDataset.__init__.
std::vector<int64_t> balance_regularisation(const std::vector<int64_t>& repeats, int64_t num_train_images);

/// The description and, per data set, its scanned subsets: what both groups are made from.
struct ScannedDatasets {
  DatasetsConfig config;
  std::vector<std::vector<ScannedSubset>> subsets;
};

/// What keeps a model from taking the images; empty: nothing. Without buckets the resolution itself goes into the
/// model, whose cells are 16 px wide: 8 of the VAE times a patch of 2. Steps of buckets are multiples of 32.
std::vector<std::string> sides_not_trainable(const DatasetsConfig& config);

/// Reads the description and scans all folders and lists.
///   findings   where files that cannot be read are noted; without it they end the scan
/// Throws UsageError (also, without buckets, for a resolution that the model cannot take), FileError.
ScannedDatasets scan_datasets(const DataConfig& flags, ScanFindings* findings = nullptr);

/// Forms the training or the validation group.
DatasetContent build_content(const ScannedDatasets& scanned, const DataConfig& flags, uint64_t seed,
                             bool is_validation);

}  // namespace loraptor::data
