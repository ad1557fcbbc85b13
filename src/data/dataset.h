// The images of a run: all data sets together, their buckets, and the batches of each epoch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/bucket.h"
#include "data/data_config.h"
#include "data/dataset_config.h"
#include "data/text_keeper.h"

namespace loraptor::data {

/// One image of one data set. The same file in two data sets is two entries.
/// Large data sets have many, so it is small: texts once, numbers no wider than they must be. The texts belong to the
/// Dataset.
struct ImageEntry {
  std::string_view path;
  std::string_view caption;       // as stored, before caption transforms
  BucketChoice geometry;          // bucket size, and the size to resize to before the crop
  uint64_t first_occurrence = 0;  // its repeats are the occurrences first .. first + repeats - 1
  int32_t width = 0;              // px, of the file
  int32_t height = 0;
  int32_t index = 0;        // number in Dataset::images()
  int32_t dataset = 0;      // number in Dataset::parts()
  int32_t subset = 0;       // number in DatasetPart::subsets
  int32_t repeats = 1;      // after balancing of regularisation images
  uint32_t key_begin = 0;   // where the key begins within the path
  float loss_weight = 1.0;  // 1, or prior_loss_weight
  bool is_regularisation = false;

  /// The image as the reference names it: its path, or its key in a metadata file.
  std::string_view key() const { return path.substr(key_begin); }
  /// The file name without folder and extension.
  std::string stem() const;
};

/// The images of one batch. All belong to one data set and one bucket.
struct BatchPlan {
  int64_t dataset = 0;
  int64_t bucket_width = 0;  // px
  int64_t bucket_height = 0;
  std::vector<int64_t> images;        // numbers in Dataset::images()
  std::vector<uint64_t> occurrences;  // place in the data set, repeats counted; unique within an epoch
};

/// A subset that has images.
struct SubsetPart {
  SubsetConfig config;
  int64_t image_count = 0;  // without repeats
};

/// Folder or list name -> tag -> how often it occurs.
using TagFrequency = std::map<std::string, std::map<std::string, int64_t>>;

/// One [[datasets]] table with its images sorted into buckets.
struct DatasetPart {
  DatasetConfig config;
  BucketConfig bucket_config;  // limits adjusted to the grid
  std::vector<SubsetPart> subsets;
  std::vector<Size> buckets;                                  // those with images, ascending
  std::vector<std::vector<uint64_t>> bucket_occurrences;      // per bucket, in registration order
  int64_t num_train_images = 0;                               // with repeats, without regularisation images
  int64_t num_reg_images = 0;                                 // with repeats, before balancing
  std::optional<double> mean_ratio_error;                     // over images without repeats; only with buckets
  std::map<std::string, std::vector<std::string_view>> tags;  // folder or list name -> each image's text with tags

  int64_t batch_count() const;
  /// Counted anew each time.
  TagFrequency tag_frequency() const;
};

/// What a Dataset consists of.
struct DatasetContent {
  std::vector<ImageEntry> images;
  TextKeepers texts;  // of the images
  std::vector<DatasetPart> parts;
  std::map<int64_t, std::string> mask_paths;  // image number -> mask image, of kind masked
  DataConfig flags;
  bool from_file = false;      // described by a file, not by flags
  bool is_validation = false;  // the images set aside
  uint64_t seed = 0;           // of the run
};

struct DatasetGroups;

/// All data sets of one group, training or validation. Constant after building but for the length of the run.
class Dataset {
 public:
  explicit Dataset(DatasetContent content);

  /// Reads the description, scans folders and forms buckets.
  ///   seed  of the run: for the order of batches and, without validation_seed, for the split
  /// An empty result (batches_per_epoch() == 0) means that no image was found.
  /// Throws UsageError, FileError.
  static Dataset build(const DataConfig& flags, uint64_t seed);

  /// The same with the images set aside for validation (their repeats are 1).
  static DatasetGroups build_groups(const DataConfig& flags, uint64_t seed);

  const std::vector<ImageEntry>& images() const { return content_.images; }
  const std::vector<DatasetPart>& parts() const { return content_.parts; }
  const SubsetConfig& subset_of(const ImageEntry& image) const;
  /// Path of the mask image; null: none.
  const std::string* mask_path(const ImageEntry& image) const;
  uint64_t seed() const { return content_.seed; }
  bool is_validation() const { return content_.is_validation; }

  int64_t batches_per_epoch() const;
  int64_t num_train_images() const;  // with repeats
  int64_t num_reg_images() const;    // with repeats, before balancing

  /// The batches of an epoch (from 1) in the order in which they are visited: batches as the reference forms them
  /// (epoch_order.h), visited in a drawn order. A validation group gives the same batches in index order each time.
  std::vector<BatchPlan> epoch(int64_t epoch) const;

  /// Length of the run, for captions that change with the step. Default 1600.
  void set_max_train_steps(int64_t steps) { max_train_steps_ = steps; }
  int64_t max_train_steps() const { return max_train_steps_; }

  /// Captions are taken from that many drawn ones of each image (caption_variant), so that their outputs can be cached;
  /// 0, the default: drawn anew each time.
  void set_caption_variants(int64_t count) { caption_variants_ = count; }
  int64_t caption_variants() const { return caption_variants_; }

  /// The facts about the data that are written into the model file: an object {ss_key: value}; structured values are
  /// to be written as JSON text. The keys differ with and without a description file.
  /// Source: sd-scripts@48d368f train_network.py:NetworkTrainer.train.
  nlohmann::json dataset_metadata() const;

  /// The settings, counts and buckets as lines for the console.
  std::string report() const;

 private:
  DatasetContent content_;
  int64_t dataset_seed_ = 0;
  int64_t max_train_steps_ = 1600;
  int64_t caption_variants_ = 0;
};

struct DatasetGroups {
  Dataset training;
  Dataset validation;  // without batches if nothing is set aside

  /// Of both.
  void set_caption_variants(int64_t count);
};

/// The batch of a recorded run, from the file stems of its images.
/// Throws UsageError, with both values, if a stem is not in the data set or more than once, or if the images are not
/// of one data set and bucket, or more than its batch size.
BatchPlan plan_from_stems(const Dataset& dataset, const std::vector<std::string>& stems);

}  // namespace loraptor::data
