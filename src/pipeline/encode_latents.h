// Images to latents.
#pragma once

#include <ATen/ATen.h>

#include <functional>

#include "models/vae.h"
#include "pipeline/recent.h"

namespace loraptor::pipeline {

/// Makes posterior noise of a shape, float32 on the CPU.
using NoiseSource = std::function<at::Tensor(at::IntArrayRef shape)>;

/// Encodes a batch of images and draws one sample of each posterior.
///   pixels   [B,3,H,W] in -1..1, any float dtype and device
///   chunk    images per call of the VAE, > 0
///   noise    asked once, for the whole batch: [B,16,H/8,W/8]
/// Returns raw latents (before shift and scale), float32 [B,16,H/8,W/8] on the VAE's device. NaNs become 0, with a
/// warning.
/// Ref: sd-scripts@48d368f train_network.py:NetworkTrainer.encode_images_to_latents,
/// library/sd3_models.py:SDVAE.encode.
at::Tensor encode_images(const models::Vae& vae, const at::Tensor& pixels, int64_t chunk, const NoiseSource& noise);

/// The two steps of it: the posteriors [B,32,H/8,W/8] of a batch, means before log-variances, and a sample of each.
at::Tensor encode_moments(const models::Vae& vae, const at::Tensor& pixels, int64_t chunk);
at::Tensor sample_moments(const at::Tensor& moments, const NoiseSource& noise);

/// Moments [1,32,H/8,W/8] of images seen before, by the hash of their pixels, on the CPU.
using RecentMoments = Recent<at::Tensor>;

/// The same, but the VAE runs only for images that are not among `recent`, one at a time, so that the result does not
/// depend on which images come together. Noise is still drawn anew. The result is on the CPU.
at::Tensor encode_images(const models::Vae& vae, const at::Tensor& pixels, RecentMoments& recent,
                         const NoiseSource& noise);

}  // namespace loraptor::pipeline
