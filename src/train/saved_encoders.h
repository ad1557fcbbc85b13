// The text encoders with the trained LoRA merged into them, beside the final LoRA (`--save_clip`, `--save_t5xxl`).
#pragma once

#include <filesystem>

#include "models/model_files.h"
#include "train/train_config.h"

namespace loraptor::train {

/// Throws UsageError if an encoder that is to be saved is in none of the files.
void check_saved_encoders(const TrainConfig& config, const models::ModelFiles& files);

/// Writes `<stem of lora>_clip_l.safetensors`, `_clip_g`, `_t5xxl` beside `lora`: each encoder under the names and in
/// the dtypes of the file it was read from, with the base weights and the LoRA merged. A tensor at a time is in memory.
///   lora   the final LoRA file
/// Throws FileError.
void save_encoders(const TrainConfig& config, const models::ModelFiles& files, const std::filesystem::path& lora);

}  // namespace loraptor::train
