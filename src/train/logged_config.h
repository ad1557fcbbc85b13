// The options of a run as hyper-parameters in its TensorBoard folder (`--log_config`).
#pragma once

#include <filesystem>

#include "train/train_config.h"

namespace loraptor::train {

/// Writes `<folder>/<unix time>/` with hparams.yml and an event file for TensorBoard's HParams page: all settings with
/// their values, but for names of files and folders. Throws FileError.
/// Ref: sd-scripts@48d368f library/train_util.py:get_sanitized_config_or_none; accelerate 1.6
/// tracking.py:TensorBoardTracker.
void log_config(const TrainConfig& config, const std::filesystem::path& folder);

}  // namespace loraptor::train
