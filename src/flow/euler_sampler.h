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

/// Skip-layer guidance: away from what the model says without some of its blocks.
struct SkipLayerGuidance {
  double scale = 0;                      // 0: off
  std::vector<int64_t> layers{7, 8, 9};  // blocks that are left out, from 0; these for SD3.5 Medium
  double start = 0.01;                   // it acts after this share of the steps …
  double end = 0.2;                      // … and before this one

  /// Whether it acts in step `step` (from 0) of `steps`.
  bool acts(int64_t step, int64_t steps) const {
    const auto at = static_cast<double>(step), all = static_cast<double>(steps);
    return scale > 0 && at > start * all && at < end * all;
  }
};

/// guided + scale * (positive - skipped).
///   skipped   velocity of the positive prompt without the blocks
/// Ref: Stability-AI/sd3.5 sd3_impls.py:SkipLayerCFGDenoiser.
at::Tensor skip_layer_guided(const at::Tensor& guided, const at::Tensor& positive, const at::Tensor& skipped,
                             double scale);

/// One Euler step from `sigma` to `next_sigma`: with denoised = x - sigma * velocity,
/// x + (x - denoised) / sigma * (next_sigma - sigma).
///   x          [B,16,h,w]
///   velocity   [B,16,h,w] float32, guided
///   sigma      > 0
/// Returns the dtype of `x`.
/// Ref: sd-scripts@48d368f library/sd3_train_utils.py:do_sample.
at::Tensor euler_step(const at::Tensor& x, const at::Tensor& velocity, double sigma, double next_sigma);

}  // namespace loraptor::flow
