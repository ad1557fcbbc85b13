#include "train/dataset_check.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "base/log.h"

namespace loraptor::train {
namespace {

void check_latent_cache(const data::SubsetConfig& subset, const std::string& where,
                        std::vector<std::string>& problems) {
  for (const auto& [is_on, key] :
       {std::pair(subset.color_aug, "color_aug"), std::pair(subset.random_crop, "random_crop")}) {
    if (is_on) {
      problems.push_back(
          fmt::format("[{}] {}: got true with --cache_latents, expected false.\n"
                      "Hint: cached latents cannot change; drop one of the two.",
                      where, key));
    }
  }
}

void check_text_cache(const data::SubsetConfig& subset, const std::string& where, std::vector<std::string>& problems) {
  const auto& caption = subset.caption;
  const std::pair<bool, const char*> changes[] = {{caption.caption_dropout_rate > 0, "caption_dropout_rate"},
                                                  {caption.shuffle_caption, "shuffle_caption"},
                                                  {caption.token_warmup_step > 0, "token_warmup_step"},
                                                  {caption.caption_tag_dropout_rate > 0, "caption_tag_dropout_rate"}};
  for (const auto& [is_on, key] : changes) {
    if (is_on) {
      problems.push_back(
          fmt::format("[{}] {}: got it with --cache_text_encoder_outputs, expected captions that stay.\n"
                      "Hint: drop one of the two.",
                      where, key));
    }
  }
  const std::pair<bool, const char*> passed_over[] = {
      {caption.caption_prefix && !caption.caption_prefix->empty(), "caption_prefix"},
      {caption.caption_suffix && !caption.caption_suffix->empty(), "caption_suffix"},
      {caption.enable_wildcard, "enable_wildcard"},
      {caption.caption_dropout_every_n_epochs > 0, "caption_dropout_every_n_epochs"},
      {caption.secondary_separator && !caption.secondary_separator->empty(), "secondary_separator"}};
  for (const auto& [is_on, key] : passed_over) {
    if (is_on)
      log::warn("[{}] {} has no effect with --cache_text_encoder_outputs: captions are encoded as stored.", where, key);
  }
}

}  // namespace

void check_dataset(const TrainConfig& config, const data::Dataset& dataset) {
  std::vector<std::string> problems;
  for (const auto& part : dataset.parts()) {
    for (const auto& subset : part.subsets) {
      const auto& source = subset.config.image_dir.empty() ? subset.config.metadata_file : subset.config.image_dir;
      if (config.cache.cache_latents) check_latent_cache(subset.config, source, problems);
      if (config.cache.cache_text_encoder_outputs) check_text_cache(subset.config, source, problems);
    }
  }
  if (!problems.empty()) throw UsageError(fmt::format("{}", fmt::join(problems, "\n")));
}

}  // namespace loraptor::train
