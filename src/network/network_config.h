// Settings of the LoRA network.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace loraptor::network {

/// Field names are the flags' names without dashes.
struct NetworkConfig {
  std::optional<std::string> network_module;     // unset, networks.lora or networks.lora_sd3
  std::optional<int64_t> network_dim;            // base rank; unset: 4
  double network_alpha = 1;                      // 0: equal to the rank
  bool network_alpha_is_integer = true;          // its default is an integer: `alpha` is saved as int64
  std::optional<double> network_dropout;         // dropout on the rank-dimension activations
  std::vector<std::string> network_args;         // key=value items
  std::optional<std::string> network_weights;    // LoRA file to start from
  bool dim_from_weights = false;                 // ranks and alphas are those of `network_weights`
  bool network_train_unet_only = false;          // train only MMDiT modules
  bool network_train_text_encoder_only = false;  // train only text-encoder modules
  std::optional<double> scale_weight_norms;      // upper limit of each pair's weight norm; 0: off
  std::vector<std::string> base_weights;         // LoRA files merged into the frozen model before training
  std::vector<double> base_weights_multiplier;   // factor for each of them; missing ones are 1
  std::optional<std::string> training_comment;   // free text for the metadata
};

/// What the learning-rate flags say. Unset or 0 leaves the group out.
struct LearningRates {
  std::optional<double> learning_rate;
  std::optional<double> mmdit_lr;       // unset: learning_rate
  std::vector<double> text_encoder_lr;  // empty: learning_rate; a: (a,a,a); a b: (a,b,b); a b c
};

}  // namespace loraptor::network
