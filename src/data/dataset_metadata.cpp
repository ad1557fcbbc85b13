// What a Dataset tells about itself: the facts for the model file, and the report for the console.
#include <fmt/format.h>

#include "data/dataset.h"
#include "data/python_text.h"

namespace loraptor::data {
namespace {

using nlohmann::json;

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

std::string name_of(const SubsetConfig& subset) {
  return base_name(subset.metadata_file.empty() ? subset.image_dir : subset.metadata_file);
}

json bucket_info(const DatasetPart& part) {
  if (!part.config.enable_bucket) return nullptr;
  json buckets = json::object();
  for (size_t i = 0; i < part.buckets.size(); ++i) {
    buckets[std::to_string(i)] = {{"resolution", {part.buckets[i].width, part.buckets[i].height}},
                                  {"count", part.bucket_occurrences[i].size()}};
  }
  return {{"buckets", buckets}, {"mean_img_ar_error", or_null(part.mean_ratio_error)}};
}

json subset_facts(const SubsetPart& part, DatasetKind kind) {
  const SubsetConfig& subset = part.config;
  json facts{{"img_count", part.image_count},
             {"num_repeats", subset.num_repeats},
             {"color_aug", subset.color_aug},
             {"flip_aug", subset.flip_aug},
             {"random_crop", subset.random_crop},
             {"shuffle_caption", subset.caption.shuffle_caption},
             {"keep_tokens", subset.caption.keep_tokens},
             {"keep_tokens_separator", subset.caption.keep_tokens_separator},
             {"secondary_separator", or_null(subset.caption.secondary_separator)},
             {"enable_wildcard", subset.caption.enable_wildcard},
             {"caption_prefix", or_null(subset.caption.caption_prefix)},
             {"caption_suffix", or_null(subset.caption.caption_suffix)},
             {"resize_interpolation", or_null(subset.resize_interpolation)}};
  if (!subset.image_dir.empty()) facts["image_dir"] = base_name(subset.image_dir);
  if (kind == DatasetKind::metadata) {
    facts["metadata_file"] = base_name(subset.metadata_file);
  } else {
    facts["class_tokens"] = or_null(subset.class_tokens);
    facts["is_reg"] = subset.is_reg;
  }
  return facts;
}

json dataset_facts(const DatasetPart& part, const TagFrequency& frequency) {
  const DatasetConfig& config = part.config;
  json facts{{"is_dreambooth", config.kind == DatasetKind::folder},
             {"batch_size_per_device", config.batch_size},
             {"num_train_images", part.num_train_images},
             {"num_reg_images", part.num_reg_images},
             {"resolution", {config.resolution->width, config.resolution->height}},
             {"enable_bucket", config.enable_bucket},
             {"min_bucket_reso", part.bucket_config.min_side},
             {"max_bucket_reso", part.bucket_config.max_side},
             {"tag_frequency", frequency},
             {"bucket_info", bucket_info(part)},
             {"resize_interpolation", or_null(config.resize_interpolation)},
             {"subsets", json::array()}};
  for (const SubsetPart& subset : part.subsets) facts["subsets"].push_back(subset_facts(subset, config.kind));
  return facts;
}

/// {name: {n_repeats, img_count}}; names that occur again get " (2)", " (3)", …
json folder_facts(const std::vector<DatasetPart>& parts, bool is_reg) {
  json facts = json::object();
  std::map<std::string, int> seen;
  for (const DatasetPart& part : parts) {
    for (const SubsetPart& subset : part.subsets) {
      if (subset.config.is_reg != is_reg) continue;
      std::string name = name_of(subset.config);
      if (const int number = ++seen[name]; number > 1) name += fmt::format(" ({})", number);
      facts[name] = {{"n_repeats", subset.config.num_repeats}, {"img_count", subset.image_count}};
    }
  }
  return facts;
}

std::string flag_text(bool value) { return value ? "True" : "False"; }

std::string report_of(const DatasetPart& part, size_t number) {
  const DatasetConfig& config = part.config;
  std::string text = fmt::format("[Dataset {}]\n  batch_size: {}\n  resolution: ({}, {})\n  enable_bucket: {}\n",
                                 number, config.batch_size, config.resolution->width, config.resolution->height,
                                 flag_text(config.enable_bucket));
  if (config.enable_bucket) {
    text +=
        fmt::format("  min_bucket_reso: {}\n  max_bucket_reso: {}\n  bucket_reso_steps: {}\n  bucket_no_upscale: {}\n",
                    part.bucket_config.min_side, part.bucket_config.max_side, config.bucket_reso_steps,
                    flag_text(config.bucket_no_upscale));
  }
  for (size_t i = 0; i < part.subsets.size(); ++i) {
    const SubsetConfig& subset = part.subsets[i].config;
    text += fmt::format("  [Subset {} of Dataset {}]\n    image_dir: \"{}\"\n", i, number, subset.image_dir);
    if (!subset.metadata_file.empty()) text += fmt::format("    metadata_file: \"{}\"\n", subset.metadata_file);
    text += fmt::format("    image_count: {}\n    num_repeats: {}\n    shuffle_caption: {}\n    keep_tokens: {}\n",
                        part.subsets[i].image_count, subset.num_repeats, flag_text(subset.caption.shuffle_caption),
                        subset.caption.keep_tokens);
    text +=
        fmt::format("    flip_aug: {}\n    color_aug: {}\n    random_crop: {}\n    alpha_mask: {}\n    is_reg: {}\n",
                    flag_text(subset.flip_aug), flag_text(subset.color_aug), flag_text(subset.random_crop),
                    flag_text(subset.alpha_mask), flag_text(subset.is_reg));
    if (subset.class_tokens) text += fmt::format("    class_tokens: {}\n", *subset.class_tokens);
  }
  text += "  number of images (including repeats):\n";
  for (size_t i = 0; i < part.buckets.size(); ++i) {
    text += fmt::format("    bucket {}: resolution ({}, {}), count: {}\n", i, part.buckets[i].width,
                        part.buckets[i].height, part.bucket_occurrences[i].size());
  }
  if (part.mean_ratio_error) {
    text += fmt::format("  mean ar error (without repeats): {}\n", *part.mean_ratio_error);
  }
  return text;
}

}  // namespace

json Dataset::dataset_metadata() const {
  json facts{{"ss_num_train_images", num_train_images()},
             {"ss_num_reg_images", num_reg_images()},
             {"ss_num_batches_per_epoch", batches_per_epoch()},
             {"ss_dataset_dirs", folder_facts(parts(), false)}};
  json tags = json::object(), datasets = json::array();
  for (const DatasetPart& part : parts()) {
    const TagFrequency frequency = part.tag_frequency();
    for (const auto& [name, counts] : frequency) {
      if (!tags.contains(name)) tags[name] = counts;
    }
    if (content_.from_file) datasets.push_back(dataset_facts(part, frequency));
  }
  facts["ss_tag_frequency"] = std::move(tags);
  if (content_.from_file) {
    facts["ss_datasets"] = std::move(datasets);
    return facts;
  }
  const DataConfig& flags = content_.flags;
  facts["ss_reg_dataset_dirs"] = folder_facts(parts(), true);
  facts["ss_batch_size_per_device"] = flags.train_batch_size;
  facts["ss_color_aug"] = flags.color_aug;
  facts["ss_flip_aug"] = flags.flip_aug;
  facts["ss_random_crop"] = flags.random_crop;
  facts["ss_shuffle_caption"] = flags.shuffle_caption;
  facts["ss_keep_tokens"] = flags.keep_tokens;
  facts["ss_enable_bucket"] = flags.enable_bucket;
  facts["ss_bucket_no_upscale"] = flags.bucket_no_upscale;
  for (const DatasetPart& part : parts()) {  // one data set
    const Size& resolution = *part.config.resolution;
    facts["ss_resolution"] = fmt::format("({}, {})", resolution.width, resolution.height);
    facts["ss_min_bucket_reso"] = part.bucket_config.min_side;
    facts["ss_max_bucket_reso"] = part.bucket_config.max_side;
    facts["ss_bucket_info"] = bucket_info(part);
  }
  return facts;
}

std::string Dataset::report() const {
  std::string text;
  for (size_t i = 0; i < parts().size(); ++i) text += report_of(parts()[i], i);
  return text;
}

}  // namespace loraptor::data
