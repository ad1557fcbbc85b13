#include "train/dataset_check.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "data/dataset_build.h"
#include "data/dataset_toml.h"
#include "train/text_source.h"

namespace loraptor::train {
namespace {

/// Caption options that a cache of stored captions passes over.
void warn_of_stored_captions(const data::SubsetConfig& subset, const std::string& where, bool trains_text) {
  const auto& caption = subset.caption;
  const std::pair<bool, const char*> passed_over[] = {
      {caption.caption_prefix && !caption.caption_prefix->empty(), "caption_prefix"},
      {caption.caption_suffix && !caption.caption_suffix->empty(), "caption_suffix"},
      {caption.enable_wildcard, "enable_wildcard"},
      {caption.caption_dropout_every_n_epochs > 0, "caption_dropout_every_n_epochs"},
      {caption.secondary_separator && !caption.secondary_separator->empty(), "secondary_separator"}};
  for (const auto& [is_on, key] : passed_over) {
    if (!is_on) continue;
    log::warn("[{}] {} has no effect{} with --cache_text_encoder_outputs: captions are encoded as stored.", where, key,
              trains_text ? " on T5" : "");
  }
}

/// Whether `is_so` holds for a subset.
template <class Condition>
bool any_subset(const data::DatasetsConfig& config, Condition is_so) {
  return std::any_of(config.datasets.begin(), config.datasets.end(), [&](const auto& dataset) {
    return std::any_of(dataset.subsets.begin(), dataset.subsets.end(), is_so);
  });
}

/// Options that these data or the other options leave without effect.
void warn_of_unused(const TrainConfig& config, const data::DatasetsConfig& used) {
  const auto& cache = config.cache;
  const auto warn_without = [&](const char* flag, bool has_effect, const char* what) {
    if (config.origins.count(flag) != 0 && !has_effect) log::warn("--{} has no effect: {}.", flag, what);
  };
  const bool on_disk = cache.cache_latents_to_disk || cache.cache_text_encoder_outputs_to_disk;
  warn_without("skip_cache_check", on_disk || !cache.skip_cache_check, "nothing is cached on disk");
  warn_without("cache_format", on_disk, "nothing is cached on disk");
  warn_without("vae_batch_size", cache.cache_latents, "latents are not cached");
  warn_without("text_encoder_batch_size", cache.cache_text_encoder_outputs, "text-encoder outputs are not cached");
  const auto is_drawn = [](const auto& subset) { return subset.random_crop || subset.color_aug; };
  warn_without("latents_variants", cache.latents_variants == 0 || any_subset(used, is_drawn),
               "no subset has random_crop or color_aug");
  const auto has_mask = [](const auto& subset) { return subset.alpha_mask || !subset.conditioning_data_dir.empty(); };
  if (config.data.masked_loss && !any_subset(used, has_mask)) {
    log::warn(
        "--masked_loss has no effect: no subset has mask images (conditioning_data_dir in the data set file) or "
        "alpha_mask.");
  }
}

}  // namespace

void check_dataset(const TrainConfig& config, const data::Dataset& dataset) {
  data::DatasetsConfig used;
  for (const auto& part : dataset.parts()) {
    data::DatasetConfig& with_images = used.datasets.emplace_back(part.config);
    with_images.subsets.clear();
    for (const auto& subset : part.subsets) with_images.subsets.push_back(subset.config);
  }
  std::vector<std::string> problems = data::sides_not_trainable(used);
  const auto add = [&](const std::vector<std::string>& more, const char* flag) {
    for (const auto& text : more) problems.push_back(fmt::format("{}\nHint: leave them out, or {}.", text, flag));
  };
  if (config.cache.cache_latents && config.cache.latents_variants == 0) {
    add(data::latents_not_cacheable(used), "--cache_latents, or keep drawn images with --latents_variants");
  }
  if (config.cache.cache_text_encoder_outputs) {
    const bool drawn = config.cache.cache_text_encoder_variants > 0;
    add(drawn ? data::text_not_drawable(used) : data::text_not_cacheable(used),
        drawn ? "--cache_text_encoder_outputs"
              : "--cache_text_encoder_outputs, or keep drawn captions with --cache_text_encoder_variants");
  }
  if (config.loop.max_validation_steps.value_or(1) < 1) {
    problems.push_back(
        fmt::format("[--max_validation_steps] value: got {}, expected at least 1.\nHint: without --validation_split "
                    "nothing is validated.",
                    *config.loop.max_validation_steps));
  }
  if (!problems.empty()) throw UsageError(fmt::format("{}", fmt::join(problems, "\n")));
  warn_of_unused(config, used);
  if (!config.cache.cache_text_encoder_outputs || config.cache.cache_text_encoder_variants > 0) return;
  for (const auto& part : used.datasets) {
    for (const auto& subset : part.subsets) {
      warn_of_stored_captions(subset, subset.image_dir.empty() ? subset.metadata_file : subset.image_dir,
                              trains_text(config));
    }
  }
}

}  // namespace loraptor::train
