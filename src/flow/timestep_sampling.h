// Which noise level each image of a batch is trained at: density, shift, limits, and the rounding to an integer.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "flow/flow_config.h"
#include "tensor/rng.h"

namespace loraptor::flow {

/// Draws one timestep per image.
///   batch    images in the batch, > 0
///   config   density, shift, limits
///   draws    where random numbers come from; timesteps it recorded replace everything below
///   images   identifies the images to `draws`
/// Returns float32 [B] on the CPU: whole numbers, in [min_timestep, max_timestep) except for `mode` with a large scale.
/// Throws UsageError if min_timestep > max_timestep or the weighting scheme is unknown.
/// Ref: arXiv:2403.03206 section 3.1; sd-scripts@48d368f
/// library/sd3_train_utils.py:get_noisy_model_input_and_timesteps.
at::Tensor sample_timesteps(int64_t batch, const FlowConfig& config, tensor::DrawSource& draws,
                            const tensor::BatchDraws& images);

/// True if the density is made from standard normal numbers (logit_normal) instead of uniform ones.
bool density_needs_normal(const FlowConfig& config);

/// Place in the density before the shift.
///   draws   float32 [B]: uniform in [0,1), or standard normal if `density_needs_normal`
/// Returns u, float32 [B]; in [0,1] except for `mode` with scales outside about [-1, 1.75].
/// Ref: sd-scripts@48d368f library/sd3_train_utils.py:compute_density_for_timestep_sampling.
at::Tensor density_from_draws(const FlowConfig& config, const at::Tensor& draws);

/// Timestep of a place in the density: shift, limits, then truncation, all in float32 in exactly this order (in float64
/// values such as 0.9 or 1/3 would give the neighbouring integer).
///   u   float32 [B]
/// Returns float32 [B], whole numbers.
at::Tensor timesteps_from_density(const FlowConfig& config, const at::Tensor& u);

}  // namespace loraptor::flow
