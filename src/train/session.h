// Builds everything a training run needs from its settings, and runs it: the composition root.
#pragma once

#include "train/train_config.h"

namespace loraptor::train {

/// Trains as `config` says, from reading the files to the final LoRA; with debug_dataset it only shows the batches.
/// Throws UsageError, FileError or RunError.
void run_training(TrainConfig config);

/// Makes the caches on disk that a run with these settings would use, without training. May be stopped and started
/// again at any time, and several processes may do it at once. Throws like run_training.
void fill_caches(TrainConfig config);

}  // namespace loraptor::train
