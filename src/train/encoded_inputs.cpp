#include "train/encoded_inputs.h"

#include "base/clock.h"
#include "base/error.h"
#include "pipeline/encode_latents.h"

namespace loraptor::train {

EncodedInputs::EncodedInputs(const models::ModelConfig& config, const data::Dataset& dataset, InputSources sources)
    : config_(config), dataset_(dataset), sources_(std::move(sources)) {
  LORAPTOR_ASSERT((sources_.vae != nullptr) != static_cast<bool>(sources_.latents) && sources_.text);
}

StepInputs EncodedInputs::encode(const data::Batch& batch, int64_t epoch, int64_t micro_step) {
  StepInputs inputs;
  inputs.images = {.micro_step = micro_step, .epoch = epoch, .occurrences = batch.plan.occurrences};
  const Stopwatch reading;
  const Stored cached = cached_latents(batch, inputs.images);
  read_seconds_ += cached.empty() ? 0 : reading.seconds();
  inputs.latents = models::process_in(latents(batch, cached, inputs.images).to(sources_.device, at::kFloat));
  const Stopwatch reading_text;
  auto text_outputs = text(batch, inputs.images);
  read_seconds_ += sources_.text_is_read ? reading_text.seconds() : 0;
  drop_encoders(text_outputs, inputs.images);
  inputs.conditioning = models::assemble_conditioning(text_outputs);
  inputs.conditioning.context = inputs.conditioning.context.to(sources_.device);
  inputs.conditioning.pooled = inputs.conditioning.pooled.to(sources_.device);
  inputs.loss_weights = batch.loss_weights.to(sources_.device);
  inputs.preserve_output = batch.preserve_output;
  if (const auto weights = mask(batch, cached, micro_step); weights.defined())
    inputs.mask = weights.to(sources_.device);
  return inputs;
}

EncodedInputs::Stored EncodedInputs::cached_latents(const data::Batch& batch, const tensor::BatchDraws& images) const {
  Stored stored;
  if (!sources_.latents) return stored;
  for (size_t i = 0; i < batch.plan.images.size(); ++i) {
    // The first two elements seed the augmentation of live images.
    constexpr uint64_t kElement = 2;
    const uint64_t epoch = dataset_.is_validation() ? 0 : static_cast<uint64_t>(images.epoch);
    const tensor::DrawKey key{tensor::Purpose::augmentation, epoch, images.occurrences[i]};
    stored.push_back(sources_.latents(batch.plan.images[i], sources_.rng.uniform_scalar(key, kElement)));
  }
  return stored;
}

at::Tensor EncodedInputs::latents(const data::Batch& batch, const Stored& cached, const tensor::BatchDraws& images) {
  if (sources_.vae != nullptr) return live_latents(batch, images);
  const bool has_moments = cached.front().moments.defined();
  std::vector<at::Tensor> rows;
  for (size_t i = 0; i < cached.size(); ++i) {
    const auto& [plain, flipped] = has_moments ? std::tie(cached[i].moments, cached[i].flipped_moments)
                                               : std::tie(cached[i].latents, cached[i].flipped);
    rows.push_back(batch.flipped[i] != 0 ? flipped : plain);
  }
  if (!has_moments) return at::stack(rows);
  return pipeline::sample_moments(at::stack(rows),
                                  [&](at::IntArrayRef shape) { return sources_.draws->latent_noise(images, shape); });
}

at::Tensor EncodedInputs::live_latents(const data::Batch& batch, const tensor::BatchDraws& images) {
  at::Tensor pixels = batch.pixels;
  if (sources_.replay != nullptr) pixels = sources_.replay->pixels(images.micro_step).value_or(pixels);
  const auto noise = [&](at::IntArrayRef shape) { return sources_.draws->latent_noise(images, shape); };
  return pipeline::encode_images(*sources_.vae, pixels, recent_moments_, noise);
}

/// Alpha channels lie in the latent cache; mask images, and alpha channels of live images, come with the batch.
at::Tensor EncodedInputs::mask(const data::Batch& batch, const Stored& cached, int64_t micro_step) const {
  if (sources_.replay != nullptr) {
    if (const auto recorded = sources_.replay->mask(micro_step)) return *recorded;
  }
  if (batch.masks) return *batch.masks;
  std::vector<at::Tensor> rows;
  bool any = false;
  for (size_t i = 0; i < cached.size(); ++i) {
    any |= cached[i].mask.has_value();
    const auto all_ones = at::ones({batch.plan.bucket_height, batch.plan.bucket_width});
    const auto row = cached[i].mask.value_or(all_ones);
    rows.push_back(batch.flipped[i] != 0 ? row.flip({1}) : row);
  }
  return any ? at::stack(rows) : at::Tensor();
}

models::TextOutputs EncodedInputs::text(const data::Batch& batch, const tensor::BatchDraws& images) const {
  const auto* recorded = sources_.replay != nullptr ? sources_.replay->captions(images.micro_step) : nullptr;
  const auto& live = recorded != nullptr ? *recorded : batch.captions;
  if (!sources_.cache_holds_stored_captions) return sources_.text({live, live}, images.micro_step);
  std::vector<std::string> stored;
  for (int64_t image : batch.plan.images) stored.emplace_back(dataset_.images()[static_cast<size_t>(image)].caption);
  return sources_.text({live, stored}, images.micro_step);
}

/// Sets the outputs of dropped encoders to zero, each image and encoder with a draw of its own.
/// Ref: sd-scripts@48d368f library/strategy_sd3.py:drop_cached_text_encoder_outputs.
void EncodedInputs::drop_encoders(models::TextOutputs& outputs, const tensor::BatchDraws& images) const {
  const auto kept = [&](double rate, uint64_t encoder) {
    auto keep = at::ones({static_cast<int64_t>(images.occurrences.size())});
    for (size_t i = 0; rate > 0 && i < images.occurrences.size(); ++i) {
      const tensor::DrawKey key{tensor::Purpose::encoder_dropout, static_cast<uint64_t>(images.epoch),
                                images.occurrences[i]};
      if (sources_.rng.uniform_scalar(key, encoder) < rate) keep[static_cast<int64_t>(i)] = 0;
    }
    return keep.to(outputs.t5_out.device());
  };
  if (config_.clip_l_dropout_rate > 0 || config_.clip_g_dropout_rate > 0) {
    const int64_t l_width = sources_.clip_l_width, g_width = outputs.lg_pooled.size(1) - l_width;
    const auto channels = at::cat({kept(config_.clip_l_dropout_rate, 0).unsqueeze(1).expand({-1, l_width}),
                                   kept(config_.clip_g_dropout_rate, 1).unsqueeze(1).expand({-1, g_width})},
                                  1);  // [B,L+G]
    outputs.lg_out = outputs.lg_out * channels.unsqueeze(1);
    outputs.lg_pooled = outputs.lg_pooled * channels;
  }
  if (config_.t5_dropout_rate > 0) {
    outputs.t5_out = outputs.t5_out * kept(config_.t5_dropout_rate, 2).view({-1, 1, 1});
  }
}

}  // namespace loraptor::train
