// --debug_dataset: what each step of a run would get, without training.
#pragma once

#include <cstdio>

#include "train/train_config.h"

namespace loraptor::train {

/// Prints the batches of the first epoch in their order (at most those of the run), then those of validation: of each
/// image its file, sizes, crop, mirroring, loss weight, mask, its caption as the text encoders get it, and the token
/// ids of the three encoders without padding. Loads images (not with cached latents), but no model. Without tokenizers
/// the ids are left out, with a warning.
/// Throws UsageError, FileError.
/// Ref: sd-scripts@48d368f library/train_util.py:debug_dataset; differs: it ends after the epoch.
void show_batches(const TrainConfig& config, std::FILE* out);

}  // namespace loraptor::train
