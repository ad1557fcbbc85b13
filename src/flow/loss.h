// The training loss: pointwise distance, weighting, mask, mean per sample, mean over the batch.
#pragma once

#include <ATen/ATen.h>

#include "flow/flow_config.h"

namespace loraptor::flow {

/// Throws UsageError for a loss type or Huber schedule that cannot work here (`snr` needs a noise schedule that flow
/// matching does not have), before anything is loaded.
void check_loss_config(const FlowConfig& config);

/// The Huber parameter c of each sample.
///   timesteps   float32 [B], 0..1000
/// Returns float32 [B]: huber_c * huber_scale (`constant`) or huber_c^(timestep/1000) * huber_scale (`exponential`).
/// Ref: sd-scripts@48d368f library/train_util.py:get_huber_threshold_if_needed.
at::Tensor huber_c_per_sample(const FlowConfig& config, const at::Tensor& timesteps);

/// Distance of each element, d = prediction - target: d^2 (l2), |d| (l1), 2c (sqrt(d^2 + c^2) - c) (huber),
/// 2 (sqrt(d^2 + c^2) - c) (smooth_l1).
///   prediction, target   float32 [B,C,h,w]
///   timesteps            float32 [B], used by the Huber schedules only
/// Returns float32 [B,C,h,w].
/// Ref: sd-scripts@48d368f library/train_util.py:conditional_loss.
at::Tensor pointwise_loss(const FlowConfig& config, const at::Tensor& prediction, const at::Tensor& target,
                          const at::Tensor& timesteps);

/// What a batch brings besides prediction and target. Undefined tensors count as 1.
struct LossTerms {
  at::Tensor timesteps;     // float32 [B]
  at::Tensor weighting;     // float32 [B,1,1,1], see flow/loss_weighting.h
  at::Tensor mask;          // float32 [B,H,W], 0..1, any size: averaged by area to the latents' size
  at::Tensor loss_weights;  // float32 [B], prior_loss_weight for regularisation images
};

/// Loss of each sample: (distance * weighting * mask) averaged over channels, height and width, the masked area counted
/// in the mean, then times the sample's loss weight.
/// Returns float32 [B]. The loss of the batch is its mean.
/// Ref: sd-scripts@48d368f train_network.py:process_batch.
at::Tensor sample_losses(const FlowConfig& config, const at::Tensor& prediction, const at::Tensor& target,
                         const LossTerms& terms);

}  // namespace loraptor::flow
