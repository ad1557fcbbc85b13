// What happens to a stored caption each time its image is used: prefix, dropout, wildcards, shuffling, tag warm-up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "data/python_random.h"

namespace loraptor::data {

/// Settings of one subset, named as in the description file.
struct CaptionConfig {
  bool shuffle_caption = false;
  std::string caption_separator = ",";
  int64_t keep_tokens = 0;            // leading tags that are neither shuffled nor dropped
  std::string keep_tokens_separator;  // "" = off
  std::optional<std::string> secondary_separator;
  bool enable_wildcard = false;
  std::optional<std::string> caption_prefix;
  std::optional<std::string> caption_suffix;
  double caption_dropout_rate = 0;             // 0..1
  int64_t caption_dropout_every_n_epochs = 0;  // 0 = off
  double caption_tag_dropout_rate = 0;         // 0..1
  int64_t token_warmup_min = 1;                // tags at step 0
  double token_warmup_step = 0;                // steps; below 1: fraction of the run; 0 = off

  bool may_drop() const { return caption_dropout_rate > 0 || caption_dropout_every_n_epochs > 0; }
  bool works_on_tags() const { return shuffle_caption || token_warmup_step > 0 || caption_tag_dropout_rate > 0; }
};

/// When a caption is used.
struct CaptionMoment {
  int64_t epoch = 1;               // from 1
  int64_t step = 0;                // optimizer step, from 0
  int64_t max_train_steps = 1600;  // length of the run, for a fractional token_warmup_step
};

/// Whether the whole caption is dropped this time; draws from `random` if there is a rate.
bool drops_caption(const CaptionConfig& config, const CaptionMoment& moment, PythonRandom& random);

/// Returns the caption as the text encoders get it.
///   caption  the stored caption, lines separated by '\n'
///   random   a generator of this sample's own; drawn from in a fixed order: dropout, line, wildcards, shuffle, tag
///            dropouts, and only for what is switched on
/// Source: sd-scripts@48d368f library/train_util.py:BaseDataset.process_caption.
std::string transform_caption(const CaptionConfig& config, std::string_view caption, const CaptionMoment& moment,
                              PythonRandom& random);

}  // namespace loraptor::data
