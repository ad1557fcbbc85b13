#include "train/data_identity.h"

#include <fmt/format.h>

namespace loraptor::train {
namespace {

std::string text_of(bool value) { return value ? "True" : "False"; }
std::string text_of(int64_t value) { return fmt::format("{}", value); }
std::string text_of(double value) { return fmt::format("{}", value); }
std::string text_of(const std::string& value) { return value; }
std::string text_of(const data::Size& size) { return data::to_string(size); }
std::string text_of(const std::pair<double, double>& range) { return fmt::format("{},{}", range.first, range.second); }
std::string text_of(const nlohmann::json& value) { return value.is_null() ? "" : value.dump(); }
template <class Value>
std::string text_of(const std::optional<Value>& value) {
  return value ? text_of(*value) : "";
}

/// As in the description file; what only says how fast images come is left out.
RunIdentity facts_of(const data::SubsetConfig& subset) {
  const auto& caption = subset.caption;
  return {{"image_dir", text_of(subset.image_dir)},
          {"metadata_file", text_of(subset.metadata_file)},
          {"conditioning_data_dir", text_of(subset.conditioning_data_dir)},
          {"num_repeats", text_of(subset.num_repeats)},
          {"is_reg", text_of(subset.is_reg)},
          {"class_tokens", text_of(subset.class_tokens)},
          {"caption_extension", text_of(subset.caption_extension)},
          {"color_aug", text_of(subset.color_aug)},
          {"flip_aug", text_of(subset.flip_aug)},
          {"random_crop", text_of(subset.random_crop)},
          {"alpha_mask", text_of(subset.alpha_mask)},
          {"face_crop_aug_range", text_of(subset.face_crop_aug_range)},
          {"resize_interpolation", text_of(subset.resize_interpolation)},
          {"custom_attributes", text_of(subset.custom_attributes)},
          {"shuffle_caption", text_of(caption.shuffle_caption)},
          {"caption_separator", text_of(caption.caption_separator)},
          {"keep_tokens", text_of(caption.keep_tokens)},
          {"keep_tokens_separator", text_of(caption.keep_tokens_separator)},
          {"secondary_separator", text_of(caption.secondary_separator)},
          {"enable_wildcard", text_of(caption.enable_wildcard)},
          {"caption_prefix", text_of(caption.caption_prefix)},
          {"caption_suffix", text_of(caption.caption_suffix)},
          {"caption_dropout_rate", text_of(caption.caption_dropout_rate)},
          {"caption_dropout_every_n_epochs", text_of(caption.caption_dropout_every_n_epochs)},
          {"caption_tag_dropout_rate", text_of(caption.caption_tag_dropout_rate)},
          {"token_warmup_min", text_of(caption.token_warmup_min)},
          {"token_warmup_step", text_of(caption.token_warmup_step)}};
}

RunIdentity facts_of(const data::DatasetConfig& dataset) {
  RunIdentity facts{{"resolution", text_of(dataset.resolution)},
                    {"batch_size", text_of(dataset.batch_size)},
                    {"enable_bucket", text_of(dataset.enable_bucket)},
                    {"validation_split", text_of(dataset.validation_split)},
                    {"resize_interpolation", text_of(dataset.resize_interpolation)}};
  if (dataset.enable_bucket) {
    facts.insert({{"min_bucket_reso", text_of(dataset.min_bucket_reso)},
                  {"max_bucket_reso", text_of(dataset.max_bucket_reso)},
                  {"bucket_reso_steps", text_of(dataset.bucket_reso_steps)},
                  {"bucket_no_upscale", text_of(dataset.bucket_no_upscale)}});
  }
  // It chooses the images that are set aside.
  if (dataset.validation_split > 0) facts["validation_seed"] = text_of(dataset.validation_seed);
  return facts;
}

template <class Config>
void add(RunIdentity& identity, const std::string& where, const Config& config) {
  const auto defaults = facts_of(Config{});
  for (const auto& [name, value] : facts_of(config)) {
    const auto usual = defaults.find(name);
    const bool is_default = usual == defaults.end() ? value.empty() : usual->second == value;
    if (!is_default) identity[fmt::format("{}, {}", where, name)] = value;
  }
}

}  // namespace

RunIdentity data_identity(const data::Dataset& training) {
  RunIdentity identity;
  for (size_t i = 0; i < training.parts().size(); ++i) {
    const auto& part = training.parts()[i];
    const auto where = fmt::format("data set {}", i + 1);
    add(identity, where, part.config);
    for (size_t k = 0; k < part.subsets.size(); ++k) {
      add(identity, fmt::format("{}, subset {}", where, k + 1), part.subsets[k].config);
    }
  }
  return identity;
}

}  // namespace loraptor::train
