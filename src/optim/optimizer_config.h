// Settings of the optimizer and its learning rates.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace loraptor::optim {

/// Field names are the flags' names without dashes.
struct OptimizerConfig {
  std::string optimizer_type;               // name without regard to case; empty: AdamW
  std::vector<std::string> optimizer_args;  // key=value items, values are Python literals
  bool use_8bit_adam = false;               // old spelling of AdamW8bit
  bool use_lion_optimizer = false;          // old spelling of Lion
  double learning_rate = 2.0e-6;            // base learning rate
  std::optional<double> unet_lr;            // learning rate of the MMDiT modules; unset: `learning_rate`
  std::vector<double> text_encoder_lr;      // learning rates of the text encoders: one for all, or CLIP-L, CLIP-G, T5
  double max_grad_norm = 1.0;               // gradient clipping; 0: off
  bool fused_backward_pass = false;         // optimizer step inside the backward pass
};

}  // namespace loraptor::optim
