// The data sets of a run after reading the description file and all fallbacks: plain numbers and names.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/bucket.h"
#include "data/caption_transform.h"

namespace loraptor::data {

/// Where a data set's images and captions come from.
enum class DatasetKind {
  folder,    // images and caption files in folders, regularisation images too
  metadata,  // a JSON or JSONL list of images with captions and tags
  masked,    // as folder, with a folder of mask images
};

/// One folder or list. Paths are as written by the user.
struct SubsetConfig {
  std::string image_dir;              // may be empty for metadata with absolute keys
  std::string metadata_file;          // kind metadata
  std::string conditioning_data_dir;  // kind masked: folder of mask images
  int64_t num_repeats = 1;
  bool is_reg = false;  // regularisation images
  std::optional<std::string> class_tokens;
  std::string caption_extension = ".caption";  // as written; caption_file_extension() adds the dot
  bool cache_info = false;                     // keep captions and sizes in metadata_cache.json
  CaptionConfig caption;
  bool color_aug = false;
  bool flip_aug = false;
  bool random_crop = false;
  bool alpha_mask = false;
  std::optional<std::pair<double, double>> face_crop_aug_range;
  std::optional<std::string> resize_interpolation;
  nlohmann::json custom_attributes;  // an object, or null

  /// caption_extension with its leading dot; an empty one stays empty.
  std::string caption_file_extension() const;
};

struct DatasetConfig {
  DatasetKind kind = DatasetKind::folder;
  std::optional<Size> resolution;  // always set after load_datasets_config
  int64_t batch_size = 1;
  bool enable_bucket = false;
  int64_t min_bucket_reso = 256;
  int64_t max_bucket_reso = 1024;
  int64_t bucket_reso_steps = 64;
  bool bucket_no_upscale = false;
  double network_multiplier = 1.0;  // without effect, as in the reference
  double validation_split = 0;      // 0..1
  std::optional<int64_t> validation_seed;
  std::optional<std::string> resize_interpolation;
  std::vector<SubsetConfig> subsets;

  /// The limits are adjusted to the grid by adjust_bucket_limits, not here.
  BucketConfig buckets() const;
};

struct DatasetsConfig {
  std::vector<DatasetConfig> datasets;
  double prior_loss_weight = 1.0;  // loss weight of regularisation images
  bool from_file = false;          // a description file was read (else: folders by naming convention, or --in_json)
};

}  // namespace loraptor::data
