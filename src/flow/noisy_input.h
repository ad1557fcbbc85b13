// The straight path between latents and noise that flow matching trains on, and the model's estimate of its start.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::flow {

/// Noise level of timesteps: timestep / 1000.
///   timesteps   float32 [B], 0..1000
///   dtype       float32; a 16-bit type rounds timesteps and sigma as the reference does (--kohya_compat timesteps)
/// Returns [B,1,1,1] in `dtype`, on the device of `timesteps`.
at::Tensor sigma(const at::Tensor& timesteps, at::ScalarType dtype = at::kFloat);

/// Timesteps as the reference rounds them: through `dtype` and back (bfloat16 keeps 8 significant bits, so 999 ->
/// 1000). Returns float32 [B].
at::Tensor round_timesteps(const at::Tensor& timesteps, at::ScalarType dtype);

/// The training input x_t = sigma * noise + (1 - sigma) * latents.
///   latents, noise   [B,16,h,w], scaled latents and standard normal noise, on one device
///   sigma            [B,1,1,1]; 1 - sigma is formed in its dtype
/// Returns [B,16,h,w] in the wider of the dtypes.
/// Ref: sd-scripts@48d368f library/sd3_train_utils.py:get_noisy_model_input_and_timesteps.
at::Tensor noisy_latents(const at::Tensor& latents, const at::Tensor& noise, const at::Tensor& sigma);

/// Estimate of the latents from the model's velocity: x_t - sigma * velocity.
///   noisy      [B,16,h,w]
///   velocity   [B,16,h,w] float32, what the MMDiT returned
/// Returns float32 [B,16,h,w]; the target of the loss is the latents themselves.
/// Ref: sd-scripts@48d368f sd3_train_network.py:get_noise_pred_and_target.
at::Tensor model_prediction(const at::Tensor& noisy, const at::Tensor& sigma, const at::Tensor& velocity);

}  // namespace loraptor::flow
