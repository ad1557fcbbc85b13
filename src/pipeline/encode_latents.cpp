#include "pipeline/encode_latents.h"

#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace loraptor::pipeline {

at::Tensor encode_images(const models::Vae& vae, const at::Tensor& pixels, int64_t chunk, const NoiseSource& noise) {
  LORAPTOR_ASSERT(chunk > 0 && pixels.dim() == 4);
  std::vector<at::Tensor> moments;
  for (const auto& part : pixels.split(chunk, 0)) moments.push_back(vae.encode(part));
  const auto all = at::cat(moments, 0);
  auto shape = all.sizes().vec();
  shape[1] /= 2;  // means and log-variances
  const auto latents = models::sample_posterior(all, noise(shape));
  const auto bad = latents.isnan();
  if (!bad.any().item<bool>()) return latents;
  log::warn("[vae] {} of {} latent values are NaN and were set to 0.\nHint: --no_half_vae runs the VAE in float32.",
            bad.sum().item<int64_t>(), latents.numel());
  return latents.masked_fill(bad, 0);
}

}  // namespace loraptor::pipeline
