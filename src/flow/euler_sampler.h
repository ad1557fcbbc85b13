// Sampling: noise levels from 1 to 0, classifier-free guidance, Euler steps along the velocity.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace loraptor::flow {

/// Noise levels of a sampling run: `steps` levels from 1 down to 0.0089..., then 0. The shift (3) acts twice, once on
/// the ends of the timestep range and once on each timestep; this is SD3's official schedule. Values are float32
/// numbers.
///   steps   > 0
/// Returns steps + 1 values.
/// Ref: sd-scripts@48d368f library/sd3_train_utils.py:get_all_sigmas, ModelSamplingDiscreteFlow.
std::vector<double> sample_sigmas(int64_t steps);

/// Guidance: negative + scale * (positive - negative).
///   positive, negative   velocities (or denoised latents, it is linear) of one shape
at::Tensor guided(const at::Tensor& positive, const at::Tensor& negative, double scale);

/// One Euler step from `sigma` to `next_sigma`: with denoised = x - sigma * velocity,
/// x + (x - denoised) / sigma * (next_sigma - sigma).
///   x          [B,16,h,w]
///   velocity   [B,16,h,w] float32, guided
///   sigma      > 0
/// Returns the dtype of `x`.
/// Ref: sd-scripts@48d368f library/sd3_train_utils.py:do_sample.
at::Tensor euler_step(const at::Tensor& x, const at::Tensor& velocity, double sigma, double next_sigma);

}  // namespace loraptor::flow
