// The modelspec.* metadata of a LoRA file (the Stability AI model metadata standard).
#pragma once

#include <string>

#include "io/safetensors.h"
#include "train/train_config.h"

namespace loraptor::train {

/// Ref: sd-scripts@48d368f library/sai_model_spec.py:build_metadata.
///   model_type   "medium", "5-medium" or "5-large"
///   saved_at     unix time of this save
io::Metadata model_spec(const TrainConfig& config, const std::string& model_type, double saved_at);

}  // namespace loraptor::train
