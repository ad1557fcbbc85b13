#include "pipeline/encode_latents.h"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"

namespace loraptor::pipeline {

at::Tensor sample_moments(const at::Tensor& moments, const NoiseSource& noise) {
  auto shape = moments.sizes().vec();
  shape[1] /= 2;  // means and log-variances
  const auto latents = models::sample_posterior(moments, noise(shape));
  const auto bad = latents.isnan();
  if (!bad.any().item<bool>()) return latents;
  log::warn("[vae] {} of {} latent values are NaN and were set to 0.\nHint: --no_half_vae runs the VAE in float32.",
            bad.sum().item<int64_t>(), latents.numel());
  return latents.masked_fill(bad, 0);
}

namespace {

/// Names an image [1,3,H,W] by its shape and content.
std::string content_key(const at::Tensor& image) {
  const auto bytes = image.to(at::kCPU, at::kFloat).contiguous();
  const std::string_view view(static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes());
  return fmt::format("{}x{}:{:016x}", image.size(3), image.size(2), xxh3(view));
}

}  // namespace

at::Tensor encode_moments(const models::Vae& vae, const at::Tensor& pixels, int64_t chunk) {
  LORAPTOR_ASSERT(chunk > 0 && pixels.dim() == 4);
  std::vector<at::Tensor> moments;
  for (const auto& part : pixels.split(chunk, 0)) moments.push_back(vae.encode(part));
  return at::cat(moments);
}

at::Tensor encode_images(const models::Vae& vae, const at::Tensor& pixels, int64_t chunk, const NoiseSource& noise) {
  return sample_moments(encode_moments(vae, pixels, chunk), noise);
}

at::Tensor encode_images(const models::Vae& vae, const at::Tensor& pixels, RecentMoments& recent,
                         const NoiseSource& noise) {
  std::vector<at::Tensor> moments;
  for (const auto& image : pixels.split(1, 0)) {
    const auto key = content_key(image);
    const auto* known = recent.find(key);
    moments.push_back(known != nullptr ? *known : vae.encode(image).to(at::kCPU));
    if (known == nullptr) recent.keep(key, moments.back(), static_cast<int64_t>(moments.back().nbytes()));
  }
  return sample_moments(at::cat(moments), noise);
}

}  // namespace loraptor::pipeline
