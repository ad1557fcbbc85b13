#include "train/train_step.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "flow/loss.h"
#include "flow/loss_weighting.h"
#include "flow/noisy_input.h"
#include "flow/timestep_sampling.h"

namespace loraptor::train {
namespace {

/// A random window of the position table for the whole batch, with the configured probability.
std::optional<models::PositionCrop> draw_position_crop(const StepContext& context, const StepInputs& inputs) {
  if (context.position_crop_rate <= 0) return std::nullopt;
  const tensor::DrawKey key{tensor::Purpose::position_crop, static_cast<uint64_t>(inputs.images.micro_step), 0};
  if (context.rng.uniform_scalar(key, 0) >= context.position_crop_rate) return std::nullopt;
  const int64_t height = inputs.latents.size(2), width = inputs.latents.size(3);
  const int64_t side = context.mmdit.position_side(height, width);
  const auto place = [&](int64_t length, uint64_t element) {
    const int64_t places = side - (length + 1) / 2 + 1;
    return static_cast<int64_t>(context.rng.below(static_cast<uint64_t>(places), key, element));
  };
  return models::PositionCrop{place(height, 1), place(width, 2)};
}

/// The latents; where an image's output is to be preserved, what the model predicts without the network.
/// Ref: sd-scripts@48d368f sd3_train_network.py:get_noise_pred_and_target (diff_output_preservation).
at::Tensor training_target(const StepContext& context, const StepInputs& inputs, const models::MMDiTInput& input,
                           const at::Tensor& sigma) {
  const auto& preserve = inputs.preserve_output;
  if (std::find(preserve.begin(), preserve.end(), 1) == preserve.end()) return inputs.latents;
  const at::NoGradGuard no_grad;
  context.network.set_multiplier(0);
  const auto prior = flow::model_prediction(input.x, sigma, context.mmdit.forward(input, context.runner));
  context.network.set_multiplier(1);
  const auto chosen = at::tensor(std::vector<int64_t>(preserve.begin(), preserve.end())).to(prior.device(), at::kBool);
  return at::where(chosen.view({-1, 1, 1, 1}), prior, inputs.latents);
}

}  // namespace

StepLoss training_loss(const StepContext& context, const StepInputs& inputs) {
  const auto& latents = inputs.latents;
  const auto device = latents.device();

  const auto noise = context.draws.noise(inputs.images, latents.sizes()).to(device);
  const auto drawn = flow::sample_timesteps(latents.size(0), context.flow, context.draws, inputs.images).to(device);
  const auto timesteps = flow::round_timesteps(drawn, context.timestep_dtype);
  const auto sigma = flow::sigma(timesteps, context.timestep_dtype);
  const auto noisy = flow::noisy_latents(latents, noise, sigma);

  const models::MMDiTInput input{.x = noisy,
                                 .timesteps = timesteps,
                                 .context = inputs.conditioning.context,
                                 .pooled = inputs.conditioning.pooled,
                                 .crop = draw_position_crop(context, inputs)};
  const auto velocity = context.mmdit.forward(input, context.runner);
  const auto prediction = flow::model_prediction(noisy, sigma, velocity);
  const auto losses = flow::sample_losses(context.flow, prediction, training_target(context, inputs, input, sigma),
                                          {.timesteps = timesteps,
                                           .weighting = flow::loss_weighting(context.flow, sigma),
                                           .mask = inputs.mask,
                                           .loss_weights = inputs.loss_weights});
  return {losses.mean(), losses.detach(), timesteps};
}

}  // namespace loraptor::train
