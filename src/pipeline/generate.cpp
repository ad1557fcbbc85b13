#include "pipeline/generate.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "flow/euler_sampler.h"
#include "tensor/rng.h"

namespace loraptor::pipeline {
namespace {

constexpr int64_t kLatentFactor = 8;

void check_layers(const flow::SkipLayerGuidance& slg, int64_t depth) {
  for (const int64_t layer : slg.layers) {
    if (slg.scale <= 0 || (layer >= 0 && layer < depth)) continue;
    throw UsageError(fmt::format("[slg_layers] block: got {}, expected numbers from 0 to {}, the model's last block.",
                                 layer, depth - 1));
  }
}

}  // namespace

at::Tensor sample_noise(const SamplePrompt& prompt, int64_t seed) {
  const tensor::CounterRng rng(static_cast<uint64_t>(seed));
  return rng.normal({tensor::Purpose::sample_image},
                    {1, models::kLatentChannels, prompt.height / kLatentFactor, prompt.width / kLatentFactor});
}

at::Tensor sample_latents(const GenerateModels& models, const GenerateRequest& request,
                          const SampleProgress& progress) {
  LORAPTOR_ASSERT(request.prompt.steps > 0 && request.noise.dim() == 4 && request.noise.size(0) == 1);
  const at::NoGradGuard no_grad;
  const auto device = models.mmdit.device();
  const auto both = models::join_batch(request.positive, request.negative);
  models::MMDiTInput input;
  input.context = both.context.to(device);
  input.pooled = both.pooled.to(device);
  const auto& slg = request.prompt.slg;
  check_layers(slg, models.mmdit.variant().depth);
  models::MMDiTInput without_layers{.x = {},
                                    .timesteps = {},
                                    .context = request.positive.context.to(device),
                                    .pooled = request.positive.pooled.to(device),
                                    .crop = std::nullopt,
                                    .skipped = slg.layers};
  const auto sigmas = flow::sample_sigmas(request.prompt.steps);
  at::Tensor x = request.noise.to(device, at::kFloat) * sigmas[0];
  for (int64_t i = 0; i < request.prompt.steps; ++i) {
    const float sigma = static_cast<float>(sigmas[static_cast<size_t>(i)]);
    input.x = x.expand({2, -1, -1, -1});  // [1,16,h,w] -> [2,16,h,w]
    input.timesteps = at::full({2}, sigma * 1000.0f, x.options());
    const auto velocity = models.mmdit.forward(input, models.runner);
    const auto positive = velocity.slice(0, 0, 1);
    auto guided = flow::guided(positive, velocity.slice(0, 1, 2), request.prompt.scale);
    if (slg.acts(i, request.prompt.steps)) {
      without_layers.x = x;
      without_layers.timesteps = input.timesteps.slice(0, 0, 1);
      guided =
          flow::skip_layer_guided(guided, positive, models.mmdit.forward(without_layers, models.runner), slg.scale);
    }
    x = flow::euler_step(x, guided, sigmas[static_cast<size_t>(i)], sigmas[static_cast<size_t>(i) + 1]);
    if (progress) progress({i + 1, request.prompt.steps, velocity, x});
  }
  return x;
}

io::Image decode_image(const models::Vae& vae, const at::Tensor& latents) {
  LORAPTOR_ASSERT(latents.dim() == 4 && latents.size(0) == 1);
  const at::NoGradGuard no_grad;
  const auto decoded = vae.decode(models::process_out(latents.to(vae.device()))).to(at::kFloat);
  const auto bytes = ((decoded[0] + 1) / 2).clamp(0, 1).mul(255).to(at::kByte);  // the cast truncates
  const auto rows = bytes.permute({1, 2, 0}).to(at::kCPU).contiguous();          // [3,H,W] -> [H,W,3]
  io::Image image = io::make_image(rows.size(1), rows.size(0), 3);
  std::copy_n(rows.const_data_ptr<uint8_t>(), rows.numel(), image.pixels.begin());
  return image;
}

io::Image generate_image(const GenerateModels& models, const GenerateRequest& request, const SampleProgress& progress) {
  return decode_image(models.vae, sample_latents(models, request, progress));
}

}  // namespace loraptor::pipeline
