#include "train/validation.h"

#include <ATen/core/grad_mode.h>

#include "data/batch.h"

namespace loraptor::train {
namespace {

models::ModelConfig without_dropout(models::ModelConfig config) {
  config.clip_l_dropout_rate = config.clip_g_dropout_rate = config.t5_dropout_rate = 0;
  return config;
}

StepContext with_draws(const StepContext& training, const flow::FlowConfig& flow, tensor::DrawSource& draws) {
  return {.flow = flow,
          .mmdit = training.mmdit,
          .runner = training.runner,
          .network = training.network,
          .draws = draws,
          .position_crop_rate = 0,
          .rng = training.rng,
          .timestep_dtype = training.timestep_dtype};
}

InputSources with_fixed_draws(InputSources sources, FixedDraws& draws) {
  sources.draws = &draws;
  sources.cache_holds_stored_captions = true;
  sources.text = [text = sources.text](const BatchCaptions& captions, int64_t micro_step) {
    return text({captions.cached, captions.cached}, micro_step);  // nothing is drawn
  };
  return sources;
}

}  // namespace

std::vector<int64_t> validation_timesteps(const flow::FlowConfig& flow) {
  const double low = static_cast<double>(flow.min_timestep.value_or(0));
  const double high = static_cast<double>(flow.max_timestep.value_or(1000));
  std::vector<int64_t> inner;
  for (int i = 1; i <= 4; ++i) inner.push_back(static_cast<int64_t>(low + (high - low) * i / 5));
  return inner;
}

Validation::Validation(const TrainConfig& config, const data::Dataset& dataset, const InputSources& sources,
                       const StepContext& training)
    : dataset_(dataset),
      undropped_(without_dropout(config.model)),
      fixed_draws_(dataset),
      step_(with_draws(training, config.flow, *sources.draws)),
      fixed_step_(with_draws(training, plain_, fixed_draws_)),
      inputs_(undropped_, dataset, sources),
      plans_(dataset.epoch(1)) {
  fixed_step_.timestep_dtype = at::kFloat;  // whatever --kohya_compat says
  if (config.loop.validation_fixed_noise) {
    fixed_inputs_.emplace(undropped_, dataset, with_fixed_draws(sources, fixed_draws_));
  }
  const auto limit = config.loop.max_validation_steps;
  if (limit && static_cast<size_t>(*limit) < plans_.size()) plans_.resize(static_cast<size_t>(*limit));
}

std::optional<ValidationLosses> Validation::run(const StopSignals& signals) const {
  const at::NoGradGuard no_grad;
  double sum = 0, fixed_sum = 0;
  size_t images = 0;
  for (size_t number = 0; number < plans_.size(); ++number) {
    if (signals.received() != 0) return std::nullopt;
    const auto batch = data::load_batch(dataset_, plans_[number], /*epoch=*/1, /*step=*/0, inputs_.needs_pixels());
    sum += batch_loss(batch, number);
    if (!fixed_inputs_) continue;
    fixed_sum += fixed_loss(batch, number) * static_cast<double>(batch.stems.size());
    images += batch.stems.size();
  }
  if (plans_.empty()) return ValidationLosses{0.0, {}};
  ValidationLosses losses{sum / static_cast<double>(plans_.size()), {}};
  if (fixed_inputs_) losses.fixed = fixed_sum / static_cast<double>(images);
  return losses;
}

double Validation::batch_loss(const data::Batch& batch, size_t number) const {
  const auto timesteps = validation_timesteps(step_.flow);
  double sum = 0;
  for (const int64_t timestep : timesteps) {
    // The timestep takes the place of the epoch in the draws' keys, so each has noise of its own, the same in every
    // run.
    const auto inputs = inputs_.encode(batch, timestep, static_cast<int64_t>(number));
    flow::FlowConfig fixed = step_.flow;
    fixed.min_timestep = fixed.max_timestep = timestep;
    sum += training_loss(with_draws(step_, fixed, step_.draws), inputs).mean.item<double>();
  }
  return sum / static_cast<double>(timesteps.size());
}

double Validation::fixed_loss(const data::Batch& batch, size_t number) const {
  const auto count = static_cast<int64_t>(FixedDraws::kTimesteps.size());
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    auto inputs = fixed_inputs_->encode(batch, i, static_cast<int64_t>(number));
    inputs.mask = at::Tensor();
    inputs.loss_weights = at::Tensor();
    inputs.preserve_output.clear();
    sum += training_loss(fixed_step_, inputs).mean.item<double>();
  }
  return sum / static_cast<double>(count);
}

}  // namespace loraptor::train
