// Data set descriptions: accepted or refused as by the reference, with the same effective settings and images.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "data/dataset.h"
#include "data/dataset_toml.h"
#include "data/folder_convention.h"
#include "data/working_folder.h"
#include "support/golden.h"

namespace loraptor::data {
namespace {

using nlohmann::json;

// --- the command line of a case ------------------------------------------------------------------------------------

void set_flag(DataConfig& flags, const std::string& name, const json& value) {
  const std::map<std::string, std::optional<std::string>*> optional_texts{
      {"train_data_dir", &flags.train_data_dir},
      {"reg_data_dir", &flags.reg_data_dir},
      {"in_json", &flags.in_json},
      {"resolution", &flags.resolution},
      {"resize_interpolation", &flags.resize_interpolation},
      {"caption_extention", &flags.caption_extention},
      {"secondary_separator", &flags.secondary_separator},
      {"caption_prefix", &flags.caption_prefix},
      {"caption_suffix", &flags.caption_suffix},
      {"face_crop_aug_range", &flags.face_crop_aug_range}};
  const std::map<std::string, std::string*> texts{{"caption_extension", &flags.caption_extension},
                                                  {"caption_separator", &flags.caption_separator},
                                                  {"keep_tokens_separator", &flags.keep_tokens_separator}};
  const std::map<std::string, int64_t*> integers{
      {"dataset_repeats", &flags.dataset_repeats},
      {"train_batch_size", &flags.train_batch_size},
      {"min_bucket_reso", &flags.min_bucket_reso},
      {"max_bucket_reso", &flags.max_bucket_reso},
      {"bucket_reso_steps", &flags.bucket_reso_steps},
      {"keep_tokens", &flags.keep_tokens},
      {"caption_dropout_every_n_epochs", &flags.caption_dropout_every_n_epochs},
      {"token_warmup_min", &flags.token_warmup_min}};
  const std::map<std::string, double*> reals{{"caption_dropout_rate", &flags.caption_dropout_rate},
                                             {"caption_tag_dropout_rate", &flags.caption_tag_dropout_rate},
                                             {"token_warmup_step", &flags.token_warmup_step},
                                             {"prior_loss_weight", &flags.prior_loss_weight},
                                             {"validation_split", &flags.validation_split}};
  const std::map<std::string, bool*> booleans{{"enable_bucket", &flags.enable_bucket},
                                              {"bucket_no_upscale", &flags.bucket_no_upscale},
                                              {"shuffle_caption", &flags.shuffle_caption},
                                              {"enable_wildcard", &flags.enable_wildcard},
                                              {"color_aug", &flags.color_aug},
                                              {"flip_aug", &flags.flip_aug},
                                              {"random_crop", &flags.random_crop},
                                              {"alpha_mask", &flags.alpha_mask},
                                              {"masked_loss", &flags.masked_loss},
                                              {"cache_info", &flags.cache_info}};
  if (optional_texts.contains(name)) {
    *optional_texts.at(name) = value.get<std::string>();
  } else if (texts.contains(name)) {
    *texts.at(name) = value.get<std::string>();
  } else if (integers.contains(name)) {
    *integers.at(name) = value.get<int64_t>();
  } else if (reals.contains(name)) {
    *reals.at(name) = value.get<double>();
  } else if (booleans.contains(name)) {
    *booleans.at(name) = value.get<bool>();
  } else if (name == "validation_seed") {
    flags.validation_seed = value.get<int64_t>();
  } else if (!name.starts_with("cache_")) {
    ADD_FAILURE() << "the case has a flag that this test does not know: " << name;
  }
}

DataConfig flags_of(const json& entry) {
  DataConfig flags;
  for (const auto& [name, value] : entry["cli"].items()) set_flag(flags, name, value);
  if (entry.contains("file") && !entry["file"].is_null()) {
    flags.dataset_config = entry["file"].get<std::string>();
    if (entry.contains("text") && !entry["text"].is_null()) {
      test::write_text(*flags.dataset_config, entry["text"].get<std::string>());
    }
  }
  return flags;
}

bool has_flag(const json& entry, const std::string& name) {
  return entry["cli"].contains(name) || entry["cli"].contains(name + "_to_disk");
}

// --- effective settings --------------------------------------------------------------------------------------------

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

std::string kind_name(DatasetKind kind) {
  return kind == DatasetKind::folder ? "DB" : kind == DatasetKind::metadata ? "FT" : "MK";
}

json params_of(const DatasetConfig& config, double prior_loss_weight) {
  return {{"resolution", {config.resolution->width, config.resolution->height}},
          {"network_multiplier", config.network_multiplier},
          {"validation_seed", or_null(config.validation_seed)},
          {"validation_split", config.validation_split},
          {"resize_interpolation", or_null(config.resize_interpolation)},
          {"batch_size", config.batch_size},
          {"enable_bucket", config.enable_bucket},
          {"min_bucket_reso", config.min_bucket_reso},
          {"max_bucket_reso", config.max_bucket_reso},
          {"bucket_reso_steps", config.bucket_reso_steps},
          {"bucket_no_upscale", config.bucket_no_upscale},
          {"prior_loss_weight", prior_loss_weight}};
}

json params_of(const SubsetConfig& subset) {
  const CaptionConfig& caption = subset.caption;
  json params{{"image_dir", subset.image_dir},
              {"num_repeats", subset.num_repeats},
              {"shuffle_caption", caption.shuffle_caption},
              {"caption_separator", caption.caption_separator},
              {"keep_tokens", caption.keep_tokens},
              {"keep_tokens_separator", caption.keep_tokens_separator},
              {"secondary_separator", or_null(caption.secondary_separator)},
              {"enable_wildcard", caption.enable_wildcard},
              {"color_aug", subset.color_aug},
              {"flip_aug", subset.flip_aug},
              {"random_crop", subset.random_crop},
              {"caption_prefix", or_null(caption.caption_prefix)},
              {"caption_suffix", or_null(caption.caption_suffix)},
              {"caption_dropout_rate", caption.caption_dropout_rate},
              {"caption_dropout_every_n_epochs", caption.caption_dropout_every_n_epochs},
              {"caption_tag_dropout_rate", caption.caption_tag_dropout_rate},
              {"token_warmup_min", caption.token_warmup_min},
              {"token_warmup_step", caption.token_warmup_step},
              {"custom_attributes", subset.custom_attributes},
              {"resize_interpolation", or_null(subset.resize_interpolation)},
              {"is_reg", subset.is_reg},
              {"class_tokens", or_null(subset.class_tokens)},
              {"caption_extension", subset.caption_extension},
              {"cache_info", subset.cache_info},
              {"alpha_mask", subset.alpha_mask},
              {"metadata_file", subset.metadata_file},
              {"conditioning_data_dir", subset.conditioning_data_dir}};
  params["face_crop_aug_range"] = json();
  if (subset.face_crop_aug_range) {
    params["face_crop_aug_range"] = {subset.face_crop_aug_range->first, subset.face_crop_aug_range->second};
  }
  return params;
}

void expect_params(const json& got, const json& want, bool is_subset) {
  for (const auto& [name, value] : want.items()) {
    // The reference copies these two from the data set into each subset.
    if (is_subset && (name == "validation_seed" || name == "validation_split")) continue;
    ASSERT_TRUE(got.contains(name)) << name;
    if (value == "inf") {
      EXPECT_TRUE(std::isinf(got[name].get<double>())) << name;
    } else if (value.is_null() && got[name] == "") {
      continue;
    } else {
      EXPECT_EQ(got[name], value) << name;
    }
  }
}

void check_settings(const DatasetsConfig& config, const json& want) {
  ASSERT_EQ(config.datasets.size(), want.size());
  for (size_t d = 0; d < want.size(); ++d) {
    SCOPED_TRACE(fmt::format("data set {}", d));
    if (want[d]["subsets"].empty()) continue;  // the reference calls an empty data set one with mask images
    const DatasetConfig& dataset = config.datasets[d];
    EXPECT_EQ(kind_name(dataset.kind), want[d]["kind"].get<std::string>());
    expect_params(params_of(dataset, config.prior_loss_weight), want[d]["params"], false);
    ASSERT_EQ(dataset.subsets.size(), want[d]["subsets"].size());
    for (size_t s = 0; s < dataset.subsets.size(); ++s) {
      expect_params(params_of(dataset.subsets[s]), want[d]["subsets"][s], true);
    }
  }
}

// --- what was built ------------------------------------------------------------------------------------------------

json image_row(const Dataset& dataset, const ImageEntry& image) {
  const BucketChoice& geometry = image.geometry;
  return {image.key(),
          image.repeats,
          image.caption,
          image.is_regularisation,
          {image.width, image.height},
          {geometry.bucket.width, geometry.bucket.height},
          {geometry.resized.width, geometry.resized.height},
          or_null(dataset.subset_of(image).resize_interpolation)};
}

std::vector<const ImageEntry*> images_of(const Dataset& dataset, size_t part) {
  std::vector<const ImageEntry*> images;
  for (const ImageEntry& image : dataset.images()) {
    if (image.dataset == static_cast<int64_t>(part)) images.push_back(&image);
  }
  return images;
}

void check_subsets(const DatasetPart& part, const json& want) {
  ASSERT_EQ(part.subsets.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    const SubsetConfig& subset = part.subsets[i].config;
    EXPECT_EQ(subset.image_dir, want[i]["image_dir"].is_null() ? "" : want[i]["image_dir"].get<std::string>());
    EXPECT_EQ(part.subsets[i].image_count, want[i]["img_count"].get<int64_t>());
    EXPECT_EQ(subset.num_repeats, want[i]["num_repeats"].get<int64_t>());
    if (want[i]["metadata_file"].is_string()) {
      EXPECT_EQ(subset.metadata_file, want[i]["metadata_file"]);
    }
    if (want[i]["caption_extension"].is_string()) {
      EXPECT_EQ(subset.caption_file_extension(), want[i]["caption_extension"].get<std::string>());
    }
  }
}

void check_part(const Dataset& dataset, size_t number, const json& want) {
  const DatasetPart& part = dataset.parts()[number];
  EXPECT_EQ(kind_name(part.config.kind), want["kind"].get<std::string>());
  EXPECT_EQ(part.batch_count(), want["batches"].get<int64_t>());
  EXPECT_EQ(part.num_train_images, want["num_train_images"].get<int64_t>());
  EXPECT_EQ(part.num_reg_images, want["num_reg_images"].get<int64_t>());
  if (want.contains("min_bucket_reso")) {
    EXPECT_EQ(part.bucket_config.min_side, want["min_bucket_reso"].get<int64_t>());
    EXPECT_EQ(part.bucket_config.max_side, want["max_bucket_reso"].get<int64_t>());
  }
  json buckets = json::array();
  for (size_t i = 0; i < part.buckets.size(); ++i) {
    buckets.push_back({{part.buckets[i].width, part.buckets[i].height}, part.bucket_occurrences[i].size()});
  }
  EXPECT_EQ(buckets, want["buckets"]);
  EXPECT_EQ(part.mean_ratio_error.has_value(), !want["mean_ar_error"].is_null());
  if (part.mean_ratio_error) {
    EXPECT_NEAR(*part.mean_ratio_error, want["mean_ar_error"].get<double>(), 1e-12);
  }
  check_subsets(part, want["subsets"]);
  json rows = json::array();
  for (const ImageEntry* image : images_of(dataset, number)) rows.push_back(image_row(dataset, *image));
  EXPECT_EQ(rows, want["images"]);
  // The reference files tags of "folder/" under an empty name.
  if (!want["tag_frequency"].contains("")) {
    EXPECT_EQ(json(part.tag_frequency()), want["tag_frequency"]);
  }
}

/// Validation is what training leaves; the reference may put one more image into it.
void check_validation(const Dataset& training, const Dataset& validation, const json& entry) {
  ASSERT_EQ(validation.parts().size(), entry["validation"].size());
  std::set<std::string> trained;
  for (const ImageEntry& image : training.images()) trained.emplace(image.key());
  for (size_t i = 0; i < validation.parts().size(); ++i) {
    json rows = json::array(), wanted = json::array();
    for (const ImageEntry* image : images_of(validation, i)) rows.push_back(image_row(validation, *image));
    for (const json& row : entry["validation"][i]["images"]) {
      if (!trained.contains(row[0].get<std::string>())) wanted.push_back(row);
    }
    EXPECT_EQ(rows, wanted);
    if (wanted.size() == entry["validation"][i]["images"].size()) check_part(validation, i, entry["validation"][i]);
  }
}

void check_accepted(const json& entry, const DataConfig& flags) {
  if (entry.contains("datasets")) check_settings(load_datasets_config(flags), entry["datasets"]);
  const DatasetGroups groups = Dataset::build_groups(flags, 0);
  if (entry["result"] == "no_data") {
    EXPECT_EQ(groups.training.batches_per_epoch(), 0);
    return;
  }
  ASSERT_EQ(groups.training.parts().size(), entry["train"].size());
  for (size_t i = 0; i < groups.training.parts().size(); ++i) {
    SCOPED_TRACE(fmt::format("training data set {}", i));
    check_part(groups.training, i, entry["train"][i]);
  }
  if (entry.contains("validation")) {
    check_validation(groups.training, groups.validation, entry);
  } else {
    EXPECT_EQ(groups.validation.batches_per_epoch(), 0);
  }
}

// --- refusals ------------------------------------------------------------------------------------------------------

/// What our message says for each kind of problem.
std::string phrase_of(const std::string& kind) {
  static const std::map<std::string, std::string> phrases{{"bad_option_value", "expected"},
                                                          {"unsupported_extension", ".toml or .json"},
                                                          {"unknown_key", "unknown key"},
                                                          {"wrong_type", "wrong type"},
                                                          {"missing_key", "missing key"},
                                                          {"mixed_kinds", "mixed kinds"},
                                                          {"no_datasets", "data sets: got none"},
                                                          {"resolution_missing", "resolution: got none"},
                                                          {"min_above_resolution", "min_bucket_reso: got"},
                                                          {"max_below_resolution", "max_bucket_reso: got"},
                                                          {"bucket_steps", "bucket_reso_steps: got"},
                                                          {"bad_interpolation", "resize_interpolation: got"},
                                                          {"image_dir_missing", "image_dir: got none"},
                                                          {"random_crop_with_masks", "random_crop: got"},
                                                          {"mask_missing", "mask images: got none for"},
                                                          {"mask_extra", "without an image"}};
  const auto found = phrases.find(kind);
  return found == phrases.end() ? "" : found->second;
}

/// ["datasets", 0, "subsets", 1, "x"] -> "datasets[0].subsets[1].x"
std::string place_of(const json& where) {
  std::string place;
  for (const json& step : where) {
    if (step.is_number()) {
      place += fmt::format("[{}]", step.get<int64_t>());
    } else {
      place += (place.empty() ? "" : ".") + step.get<std::string>();
    }
  }
  return place;
}

void check_message(const json& entry, const std::string& message) {
  if (!entry.contains("file")) return;  // our own words for flags
  for (const json& error : entry["errors"]) {
    EXPECT_NE(message.find(phrase_of(error["kind"].get<std::string>())), std::string::npos) << message;
    if (!error.contains("where")) continue;
    std::string place = place_of(error["where"]);
    if (error["kind"] == "missing_key") place.resize(place.rfind('.'));  // our text names the table and the key
    EXPECT_NE(message.find(place), std::string::npos) << message;
  }
}

void check_refused(const json& entry, const DataConfig& flags) {
  const std::string kind = entry["errors"][0]["kind"].get<std::string>();
  if (kind == "latents_not_cacheable" || kind == "text_not_cacheable") {
    const DatasetsConfig config = load_datasets_config(flags);
    EXPECT_FALSE((kind == "text_not_cacheable" ? text_not_cacheable(config) : latents_not_cacheable(config)).empty());
    return;
  }
  std::string message;
  try {
    Dataset::build_groups(flags, 0);
  } catch (const UsageError& error) {
    message = error.what();
  } catch (const FileError& error) {
    message = error.what();
  }
  EXPECT_FALSE(message.empty()) << "accepted, but the reference refuses it";
  check_message(entry, message);
}

TEST(GoldenDatasetConfig, accepts_and_refuses_as_the_reference) {
  const json cases = test::list_of(test::golden_data("config_cases.json"), "cases");
  if (cases.empty()) GTEST_SKIP() << "the golden set has no config_cases.json";
  test::WorkingFolder folder;
  folder.copy_golden("data", "tree");
  for (const json& entry : cases) {
    SCOPED_TRACE(entry["name"]);
    const DataConfig flags = flags_of(entry);
    if (entry.value("superset_ok", false)) {
      // Either decision is fine, but it must be one of ours: settings or a clear error.
      try {
        Dataset::build_groups(flags, 0);
      } catch (const UsageError&) {
      } catch (const FileError&) {
      }
    } else if (entry["result"] == "error") {
      check_refused(entry, flags);
    } else {
      check_accepted(entry, flags);
      const DatasetsConfig config = load_datasets_config(flags);
      if (has_flag(entry, "cache_latents")) {
        EXPECT_TRUE(latents_not_cacheable(config).empty());
      }
      if (has_flag(entry, "cache_text_encoder_outputs")) {
        EXPECT_TRUE(text_not_cacheable(config).empty());
      }
    }
  }
  fmt::print("config_cases.json: {} cases\n", cases.size());
}

TEST(GoldenDatasetConfig, finds_the_folders_of_the_naming_convention) {
  const json cases = test::list_of(test::golden_data("config_cases.json"), "cases");
  if (cases.empty()) GTEST_SKIP() << "the golden set has no config_cases.json";
  test::WorkingFolder folder;
  folder.copy_golden("data", "tree");
  for (const json& entry : cases) {
    if (!entry.contains("folder_subsets")) continue;
    SCOPED_TRACE(entry["name"]);
    json got = json::array();
    for (const bool is_reg : {false, true}) {
      const std::string flag = is_reg ? "reg_data_dir" : "train_data_dir";
      if (!entry["cli"].contains(flag)) continue;
      for (const RepeatFolder& found : find_repeat_folders(entry["cli"][flag].get<std::string>(), is_reg)) {
        got.push_back({{"image_dir", found.image_dir},
                       {"num_repeats", found.num_repeats},
                       {"is_reg", found.is_reg},
                       {"class_tokens", found.class_tokens}});
      }
    }
    EXPECT_EQ(got, entry["folder_subsets"]);
  }
}

}  // namespace
}  // namespace loraptor::data
