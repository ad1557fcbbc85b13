// Which dtype each part of a run has: one table for code and docs/numerics.md.
#pragma once

#include <ATen/ATen.h>

#include <optional>

#include "train/train_config.h"

namespace loraptor::train {

/// Optimizer states, residual streams, norms, softmax statistics, timesteps and the loss
/// are float32 in every mode.
struct Precision {
  at::ScalarType compute;              // frozen MMDiT and CLIP weights, matrix products
  at::ScalarType t5;                   // T5 weights
  at::ScalarType vae;                  // VAE weights
  at::ScalarType lora;                 // LoRA weights and gradients: float32, or 16 bit with full_fp16 and full_bf16
  std::optional<at::ScalarType> save;  // LoRA tensors on disk; unset: as trained
  bool needs_loss_scaling;             // fp16
};

Precision make_precision(const TrainConfig& config);

/// Whether `--kohya_compat` asks for `name` (or for all).
bool has_compat(const TrainConfig& config, const char* name);

}  // namespace loraptor::train
