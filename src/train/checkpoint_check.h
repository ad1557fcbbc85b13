// What the settings ask of the checkpoint, looked at in the headers of its files.
#pragma once

#include "models/model_files.h"
#include "train/train_config.h"

namespace loraptor::train {

/// Throws UsageError for `--blocks_to_swap` beyond the model's depth and for an encoder that is to be saved but is in
/// none of the files; FileError if there is no MMDiT, or if it needs other text encoders. Warns of
/// `train_block_indices` that the model does not have, and of swapping on the CPU. Reads no weights.
void check_checkpoint(const TrainConfig& config, const models::ModelFiles& files, at::Device device);

}  // namespace loraptor::train
