// Reads the description of the data sets: a TOML or JSON file, or the folders named by flags.
#include "data/dataset_toml.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/log.h"
#include "base/suggest.h"
#include "data/config_document.h"
#include "data/config_scope.h"
#include "data/dataset_keys.h"
#include "data/folder_convention.h"
#include "data/python_text.h"

namespace loraptor::data {
namespace {

using nlohmann::json;

template <class T>
std::vector<T> parse_list(const std::string& text) {
  std::vector<T> values;
  for (const std::string& raw : split(text, ",")) {
    const std::string piece = strip(raw);
    T value{};
    const auto [end, error] = std::from_chars(piece.data(), piece.data() + piece.size(), value);
    if (error != std::errc() || end != piece.data() + piece.size()) return {};
    values.push_back(value);
  }
  return values;
}

std::optional<Size> resolution_flag(const DataConfig& flags, ConfigProblems& problems) {
  if (!flags.resolution) return std::nullopt;
  const auto sides = parse_list<int64_t>(*flags.resolution);
  if (sides.size() == 1) return Size{sides[0], sides[0]};
  if (sides.size() == 2) return Size{sides[0], sides[1]};
  problems.add("--resolution", fmt::format("value: got '{}', expected N or W,H.", *flags.resolution));
  return std::nullopt;
}

std::optional<std::pair<double, double>> face_crop_flag(const DataConfig& flags, ConfigProblems& problems) {
  if (!flags.face_crop_aug_range) return std::nullopt;
  const auto limits = parse_list<double>(*flags.face_crop_aug_range);
  if (limits.size() == 2 && limits[0] <= limits[1]) return std::pair{limits[0], limits[1]};
  problems.add("--face_crop_aug_range", fmt::format("value: got '{}', expected two numbers LOW,HIGH with LOW <= HIGH.",
                                                    *flags.face_crop_aug_range));
  return std::nullopt;
}

void check_interpolation(const std::string& place, const std::optional<std::string>& name, ConfigProblems& problems) {
  const auto& names = interpolation_names();
  if (!name || std::find(names.begin(), names.end(), *name) != names.end()) return;
  const std::string suggestion = did_you_mean(*name, names);
  problems.add(place, fmt::format("resize_interpolation: got '{}', expected one of {}.{}", *name, join(names, ", "),
                                  suggestion.empty() ? "" : "\nHint: " + suggestion));
}

void read_caption_keys(const ConfigScope& scope, CaptionConfig& caption) {
  scope.read("shuffle_caption", caption.shuffle_caption);
  scope.read("caption_separator", caption.caption_separator);
  scope.read("keep_tokens", caption.keep_tokens);
  scope.read("keep_tokens_separator", caption.keep_tokens_separator);
  scope.read("secondary_separator", caption.secondary_separator);
  scope.read("enable_wildcard", caption.enable_wildcard);
  scope.read("caption_prefix", caption.caption_prefix);
  scope.read("caption_suffix", caption.caption_suffix);
  scope.read("caption_dropout_rate", caption.caption_dropout_rate);
  scope.read("caption_dropout_every_n_epochs", caption.caption_dropout_every_n_epochs);
  scope.read("caption_tag_dropout_rate", caption.caption_tag_dropout_rate);
  scope.read("token_warmup_min", caption.token_warmup_min);
  scope.read("token_warmup_step", caption.token_warmup_step);
}

CaptionConfig caption_flags(const DataConfig& flags) {
  CaptionConfig caption;
  caption.shuffle_caption = flags.shuffle_caption;
  caption.caption_separator = flags.caption_separator;
  caption.keep_tokens = flags.keep_tokens;
  caption.keep_tokens_separator = flags.keep_tokens_separator;
  caption.secondary_separator = flags.secondary_separator;
  caption.enable_wildcard = flags.enable_wildcard;
  caption.caption_prefix = flags.caption_prefix;
  caption.caption_suffix = flags.caption_suffix;
  caption.caption_dropout_rate = flags.caption_dropout_rate;
  caption.caption_dropout_every_n_epochs = flags.caption_dropout_every_n_epochs;
  caption.caption_tag_dropout_rate = flags.caption_tag_dropout_rate;
  caption.token_warmup_min = flags.token_warmup_min;
  caption.token_warmup_step = flags.token_warmup_step;
  return caption;
}

/// Builds the structs from a document, and reports what is wrong on the way.
class Builder {
 public:
  Builder(const DataConfig& flags, const ConfigDocument& document)
      : flags_(flags), document_(document), problems_(document) {
    fallback_resolution_ = resolution_flag(flags, problems_);
    fallback_face_crop_ = face_crop_flag(flags, problems_);
    check_interpolation("--resize_interpolation", flags.resize_interpolation, problems_);
  }

  DatasetsConfig build() {
    DatasetsConfig config;
    config.prior_loss_weight = flags_.prior_loss_weight;
    config.from_file = flags_.dataset_config.has_value();
    const json& root = document_.root;
    if (!root.is_object()) {
      problems_.add("", fmt::format("wrong type: got {}, expected a table.", describe(root)));
      problems_.throw_if_any();
    }
    for (const auto& [name, value] : root.items()) check_top_level(name, value);
    if (!root.contains("datasets") || (root["datasets"].is_array() && root["datasets"].empty())) {
      problems_.add("", "data sets: got none, expected at least one [[datasets]] table.");
    } else if (root["datasets"].is_array()) {
      for (size_t i = 0; i < root["datasets"].size(); ++i) {
        if (root["datasets"][i].is_object()) config.datasets.push_back(build_dataset(i));
      }
    }
    problems_.throw_if_any();
    return config;
  }

 private:
  void check_top_level(const std::string& name, const json& value) {
    if (name == "general") {
      if (value.is_object()) {
        check_table(value, "general", ConfigLevel::general, DatasetKind::folder, problems_);
        general_ = value;
      } else {
        problems_.add(name, fmt::format("wrong type: got {}, expected a table.", describe(value)));
      }
    } else if (name == "datasets") {
      check_table_array(value, name);
    } else {
      const std::string suggestion = did_you_mean(name, {"general", "datasets"});
      problems_.add(name, fmt::format("unknown key: got '{}', expected [general] or [[datasets]].{}", name,
                                      suggestion.empty() ? "" : "\nHint: " + suggestion));
    }
  }

  bool check_table_array(const json& value, const std::string& place) {
    const bool good =
        value.is_array() && std::all_of(value.begin(), value.end(), [](const json& item) { return item.is_object(); });
    if (!good) {
      problems_.add(place, fmt::format("wrong type: got {}, expected an array of tables, [[{}]].", describe(value),
                                       place == "datasets" ? "datasets" : "datasets.subsets"));
    }
    return good;
  }

  /// nullopt after a report: some subsets have metadata files and some have not.
  std::optional<DatasetKind> kind_of(const json& subsets, const std::string& place) {
    const auto count = [&](const char* key) {
      return std::count_if(subsets.begin(), subsets.end(), [&](const json& subset) { return subset.contains(key); });
    };
    const auto all = static_cast<std::ptrdiff_t>(subsets.size());
    if (flags_.masked_loss && all > 0 && count("conditioning_data_dir") == all) return DatasetKind::masked;
    const auto lists = count("metadata_file");
    if (lists == 0) return DatasetKind::folder;
    if (lists == all) return DatasetKind::metadata;
    problems_.add(place, fmt::format("mixed kinds: got metadata_file in {} of {} subsets, expected all or none.\n"
                                     "Hint: put image folders and metadata files into separate [[datasets]].",
                                     lists, all));
    return std::nullopt;
  }

  DatasetConfig build_dataset(size_t index) {
    const std::string place = fmt::format("datasets[{}]", index);
    const json& table = document_.root["datasets"][index];
    DatasetConfig config;
    json subsets = json::array();
    if (table.contains("subsets") && check_table_array(table["subsets"], place + ".subsets"))
      subsets = table["subsets"];
    const std::optional<DatasetKind> kind = kind_of(subsets, place);
    if (!kind) return config;
    config.kind = *kind;
    check_table(table, place, ConfigLevel::dataset, config.kind, problems_);
    if (flags_.dataset_config && (!table.contains("subsets") || table["subsets"] == json::array())) {
      problems_.add(place, "missing key: got no subsets, expected at least one [[datasets.subsets]] table.");
    }
    read_dataset_keys(ConfigScope({&table, &general_}), config);
    check_dataset(place, ConfigScope({&table, &general_}), config);
    for (size_t i = 0; i < subsets.size(); ++i) {
      config.subsets.push_back(build_subset(fmt::format("{}.subsets[{}]", place, i), subsets[i], table, config.kind));
    }
    return config;
  }

  void read_dataset_keys(const ConfigScope& scope, DatasetConfig& config) {
    config.resolution = fallback_resolution_;
    config.batch_size = flags_.train_batch_size;
    config.enable_bucket = flags_.enable_bucket;
    config.min_bucket_reso = flags_.min_bucket_reso;
    config.max_bucket_reso = flags_.max_bucket_reso;
    config.bucket_reso_steps = flags_.bucket_reso_steps;
    config.bucket_no_upscale = flags_.bucket_no_upscale;
    config.validation_split = flags_.validation_split;
    config.validation_seed = flags_.validation_seed;
    config.resize_interpolation = flags_.resize_interpolation;
    scope.read("resolution", config.resolution);
    scope.read("batch_size", config.batch_size);
    scope.read("enable_bucket", config.enable_bucket);
    scope.read("min_bucket_reso", config.min_bucket_reso);
    scope.read("max_bucket_reso", config.max_bucket_reso);
    scope.read("bucket_reso_steps", config.bucket_reso_steps);
    scope.read("bucket_no_upscale", config.bucket_no_upscale);
    scope.read("network_multiplier", config.network_multiplier);
    scope.read("validation_split", config.validation_split);
    scope.read("validation_seed", config.validation_seed);
    scope.read("resize_interpolation", config.resize_interpolation);
  }

  void check_dataset(const std::string& place, const ConfigScope& scope, const DatasetConfig& config) {
    if (config.batch_size < 1) {
      problems_.add(place + ".batch_size", fmt::format("batch_size: got {}, expected at least 1.", config.batch_size));
    }
    if (config.resize_interpolation && config.resize_interpolation != flags_.resize_interpolation) {
      check_interpolation(place + ".resize_interpolation", config.resize_interpolation, problems_);
    }
    if (config.network_multiplier != 1.0) {
      log::warn("[{}] network_multiplier {} has no effect in SD3 training", place, config.network_multiplier);
    }
    if (!config.resolution) {
      if (!scope.has("resolution") && !flags_.resolution) {
        problems_.add(place, "resolution: got none, expected it in the data set, in [general] or as --resolution.");
      }
      return;
    }
    if (config.resolution->width < 1 || config.resolution->height < 1) {
      problems_.add(place + ".resolution",
                    fmt::format("resolution: got {}, expected sides of at least 1 px.", to_string(*config.resolution)));
      return;
    }
    if (!config.enable_bucket) return;
    if (config.bucket_reso_steps <= 0 || config.bucket_reso_steps % 32 != 0) {
      problems_.add(place + ".bucket_reso_steps",
                    fmt::format("bucket_reso_steps: got {}, expected a positive multiple of 32 for SD3.",
                                config.bucket_reso_steps));
      return;
    }
    BucketConfig buckets = config.buckets();
    if (const auto problem = adjust_bucket_limits(buckets)) {
      problems_.add(place, *problem +
                               "\nHint: change min_bucket_reso or max_bucket_reso; the reference's defaults are "
                               "256 and 1024.");
    }
  }

  SubsetConfig build_subset(const std::string& place, const json& table, const json& dataset, DatasetKind kind) {
    check_table(table, place, ConfigLevel::subset, kind, problems_);
    SubsetConfig config;
    config.num_repeats = flags_.dataset_repeats;
    config.caption_extension = flags_.caption_extention.value_or(flags_.caption_extension);
    config.cache_info = flags_.cache_info;
    config.caption = caption_flags(flags_);
    config.color_aug = flags_.color_aug;
    config.flip_aug = flags_.flip_aug;
    config.random_crop = flags_.random_crop;
    config.alpha_mask = flags_.alpha_mask;
    config.face_crop_aug_range = fallback_face_crop_;
    config.resize_interpolation = flags_.resize_interpolation;
    const ConfigScope scope({&table, &dataset, &general_});
    scope.read("image_dir", config.image_dir);
    scope.read("metadata_file", config.metadata_file);
    scope.read("conditioning_data_dir", config.conditioning_data_dir);
    scope.read("num_repeats", config.num_repeats);
    scope.read("is_reg", config.is_reg);
    scope.read("class_tokens", config.class_tokens);
    scope.read("caption_extension", config.caption_extension);
    scope.read("cache_info", config.cache_info);
    scope.read("color_aug", config.color_aug);
    scope.read("flip_aug", config.flip_aug);
    scope.read("random_crop", config.random_crop);
    scope.read("alpha_mask", config.alpha_mask);
    scope.read("face_crop_aug_range", config.face_crop_aug_range);
    scope.read("resize_interpolation", config.resize_interpolation);
    if (const json* attributes = scope.find("custom_attributes")) config.custom_attributes = *attributes;
    read_caption_keys(scope, config.caption);
    check_subset(place, table, kind, config);
    return config;
  }

  void check_subset(const std::string& place, const json& table, DatasetKind kind, const SubsetConfig& config) {
    if (kind != DatasetKind::metadata && !table.contains("image_dir")) {
      problems_.add(place, "missing key: got no 'image_dir', expected the folder of the images.");
    }
    if (table.contains("resize_interpolation")) {
      check_interpolation(place + ".resize_interpolation", config.resize_interpolation, problems_);
    }
    if (kind == DatasetKind::masked && config.random_crop) {
      problems_.add(place + ".random_crop",
                    "random_crop: got true in a data set with mask images, expected false.\n"
                    "Hint: mask images are cut like the centre crop only.");
    }
    if (config.caption.caption_separator.empty() &&
        (config.caption.works_on_tags() || config.caption.secondary_separator)) {
      problems_.add(place + ".caption_separator",
                    "caption_separator: got an empty text, expected at least a character.");
    }
    if (!config.caption.keep_tokens_separator.empty() && !config.caption.works_on_tags()) {
      log::warn("[{}] keep_tokens_separator '{}' stays in the captions: nothing shuffles or drops tags", place,
                config.caption.keep_tokens_separator);
    }
    if (config.caption.enable_wildcard && (config.caption.caption_prefix || config.caption.caption_suffix)) {
      log::warn(
          "[{}] with enable_wildcard, caption_prefix reaches only the first line of a caption and caption_suffix "
          "only the last",
          place);
    }
  }

  const DataConfig& flags_;
  const ConfigDocument& document_;
  ConfigProblems problems_;
  json general_ = json::object();
  std::optional<Size> fallback_resolution_;
  std::optional<std::pair<double, double>> fallback_face_crop_;
};

/// The same tree as a file's, for the folders named by flags.
ConfigDocument document_of_flags(const DataConfig& flags) {
  json subsets = json::array();
  if (flags.in_json) {
    if (!flags.train_data_dir) {
      throw UsageError("[--train_data_dir] image folder: got none, expected one beside --in_json.");
    }
    subsets.push_back({{"image_dir", *flags.train_data_dir}, {"metadata_file", *flags.in_json}});
  } else {
    for (const bool is_reg : {false, true}) {
      const auto& base = is_reg ? flags.reg_data_dir : flags.train_data_dir;
      if (!base) continue;
      for (const RepeatFolder& folder : find_repeat_folders(*base, is_reg)) {
        subsets.push_back({{"image_dir", folder.image_dir},
                           {"num_repeats", folder.num_repeats},
                           {"class_tokens", folder.class_tokens},
                           {"is_reg", is_reg}});
      }
    }
  }
  return {"command line", {{"datasets", json::array({{{"subsets", subsets}}})}}, {}};
}

template <class Predicate>
std::vector<std::string> subsets_where(const DatasetsConfig& config, const std::string& what, Predicate predicate) {
  std::vector<std::string> texts;
  for (const DatasetConfig& dataset : config.datasets) {
    for (const SubsetConfig& subset : dataset.subsets) {
      const std::string& name = subset.metadata_file.empty() ? subset.image_dir : subset.metadata_file;
      if (predicate(subset)) texts.push_back(fmt::format("[subset '{}'] {}", name, what));
    }
  }
  return texts;
}

}  // namespace

std::string SubsetConfig::caption_file_extension() const {
  return caption_extension.empty() || caption_extension.starts_with('.') ? caption_extension : "." + caption_extension;
}

BucketConfig DatasetConfig::buckets() const {
  return {resolution.value(), enable_bucket, min_bucket_reso, max_bucket_reso, bucket_reso_steps, bucket_no_upscale};
}

DatasetsConfig load_datasets_config(const DataConfig& flags) {
  if (flags.dataset_config && (flags.train_data_dir || flags.reg_data_dir || flags.in_json)) {
    log::warn("--dataset_config is given: --train_data_dir, --reg_data_dir and --in_json are ignored");
  }
  const ConfigDocument document =
      flags.dataset_config ? read_config_document(*flags.dataset_config) : document_of_flags(flags);
  return Builder(flags, document).build();
}

std::vector<std::string> latents_not_cacheable(const DatasetsConfig& config) {
  return subsets_where(config, "cached latents: got color_aug or random_crop, expected neither.",
                       [](const SubsetConfig& subset) { return subset.color_aug || subset.random_crop; });
}

std::vector<std::string> text_not_cacheable(const DatasetsConfig& config) {
  return subsets_where(
      config,
      "cached text encoder outputs: got shuffle_caption, caption_dropout_rate, caption_tag_dropout_rate or "
      "token_warmup_step, expected none of them.",
      [](const SubsetConfig& subset) {
        return subset.caption.works_on_tags() || subset.caption.caption_dropout_rate > 0;
      });
}

std::vector<std::string> text_not_drawable(const DatasetsConfig& config) {
  return subsets_where(config, "cached caption variants: got token_warmup_step, expected none.",
                       [](const SubsetConfig& subset) { return subset.caption.token_warmup_step > 0; });
}

}  // namespace loraptor::data
