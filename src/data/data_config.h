// Settings of the data set given by flags. All but the paths are fallbacks: a data set file's own value wins.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace loraptor::data {

/// Field names are the flags' names without dashes.
struct DataConfig {
  std::optional<std::string> dataset_config;        // TOML or JSON description; then the three folders below are unused
  std::optional<std::string> train_data_dir;        // parent of <repeats>_<class tokens> image folders
  std::optional<std::string> reg_data_dir;          // the same for regularisation images
  std::optional<std::string> in_json;               // JSON or JSONL metadata file
  int64_t dataset_repeats = 1;                      // fallback for num_repeats
  int64_t train_batch_size = 1;                     // images per micro-step
  std::optional<std::string> resolution;            // N or W,H
  bool enable_bucket = false;                       // aspect-ratio buckets
  int64_t min_bucket_reso = 256;                    // smallest bucket side, px
  int64_t max_bucket_reso = 1024;                   // largest bucket side, px
  int64_t bucket_reso_steps = 64;                   // bucket grid, px
  bool bucket_no_upscale = false;                   // buckets from each image's own size, never enlarging
  std::optional<std::string> resize_interpolation;  // lanczos | nearest | bilinear | linear | bicubic | cubic | area
  std::string caption_extension = ".caption";       // caption file extension
  std::optional<std::string> caption_extention;     // misspelt alias; wins
  std::string caption_separator = ",";              // tag separator
  bool shuffle_caption = false;                     // shuffle tags each time
  int64_t keep_tokens = 0;                          // leading tags that stay in place
  std::string keep_tokens_separator;                // marks fixed, flexible and fixed-tail parts
  std::optional<std::string> secondary_separator;   // replaced by the separator after shuffling
  bool enable_wildcard = false;                     // {a|b|c} choices, random line of a caption file
  std::optional<std::string> caption_prefix;        // put before the caption, with a space
  std::optional<std::string> caption_suffix;        // put after it
  double caption_dropout_rate = 0.0;                // probability of an empty caption
  int64_t caption_dropout_every_n_epochs = 0;       // empty captions in every n-th epoch
  double caption_tag_dropout_rate = 0.0;            // probability that a tag is dropped
  int64_t token_warmup_min = 1;                     // tags at step 0 of the tag warm-up
  double token_warmup_step = 0;                     // step (or fraction of the run, below 1) with all tags
  bool color_aug = false;                           // weak hue and gamma changes
  bool flip_aug = false;                            // random horizontal flip
  std::optional<std::string> face_crop_aug_range;   // min,max zoom of face-centred crops
  bool random_crop = false;                         // random instead of centred crop
  bool alpha_mask = false;                          // the alpha channel is a loss mask
  bool masked_loss = false;                         // mask images from conditioning_data_dir
  bool cache_info = false;                          // keep captions and sizes in metadata_cache.json
  bool debug_dataset = false;                       // show the prepared samples and end
  double prior_loss_weight = 1.0;                   // loss weight of regularisation images
  double validation_split = 0.0;                    // fraction set aside for validation
  std::optional<int64_t> validation_seed;           // seed of the split and of validation draws; unset: `seed`
  int64_t max_data_loader_n_workers = 8;            // loading threads; 0: in the training thread
  bool persistent_data_loader_workers = false;      // keep the threads between epochs
};

}  // namespace loraptor::data
