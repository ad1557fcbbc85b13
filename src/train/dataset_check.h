// What a data set must not ask for together with other settings of the run.
#pragma once

#include "data/dataset.h"
#include "train/train_config.h"

namespace loraptor::train {

/// Throws UsageError with all problems: augmentations that a latent cache would freeze, captions that change although
/// their outputs are cached. Warns about caption options that a text cache passes over.
/// Ref: sd-scripts@48d368f train_network.py (is_latent_cacheable, is_text_encoder_output_cacheable).
void check_dataset(const TrainConfig& config, const data::Dataset& dataset);

}  // namespace loraptor::train
