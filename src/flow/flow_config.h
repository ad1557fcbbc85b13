// Settings of flow matching and of the loss: how timesteps are drawn, how the loss is formed and weighted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace loraptor::flow {

/// Field names are the flags' names without dashes.
struct FlowConfig {
  std::string weighting_scheme = "uniform";  // sigma_sqrt | logit_normal | mode | cosmap | none | uniform
  double logit_mean = 0.0;                   // mean of the normal of `logit_normal`
  double logit_std = 1.0;                    // its standard deviation
  double mode_scale = 1.29;                  // scale of `mode`
  double training_shift = 1.0;               // u -> u s / (1 + (s-1) u); above 1 favours noisy steps
  std::optional<int64_t> min_timestep;       // lower end of the range of timesteps; unset: 0
  std::optional<int64_t> max_timestep;       // its upper end, exclusive; unset: 1000
  std::string loss_type = "l2";              // l1 | l2 | huber | smooth_l1
  std::string huber_schedule = "snr";        // constant | exponential | snr (snr is not usable with SD3)
  double huber_c = 0.1;                      // threshold of huber and smooth_l1
  double huber_scale = 1.0;                  // multiplies the threshold
};

}  // namespace loraptor::flow
