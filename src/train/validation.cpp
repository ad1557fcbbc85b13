#include "train/validation.h"

#include <ATen/core/grad_mode.h>

#include "data/batch.h"

namespace loraptor::train {

std::vector<int64_t> validation_timesteps(const flow::FlowConfig& flow) {
  const double low = static_cast<double>(flow.min_timestep.value_or(0));
  const double high = static_cast<double>(flow.max_timestep.value_or(1000));
  std::vector<int64_t> inner;
  for (int i = 1; i <= 4; ++i) inner.push_back(static_cast<int64_t>(low + (high - low) * i / 5));
  return inner;
}

Validation::Validation(const data::Dataset& dataset, EncodedInputs& inputs, StepContext step,
                       std::optional<int64_t> max_steps)
    : dataset_(dataset), inputs_(inputs), step_(step), plans_(dataset.epoch(1)) {
  if (max_steps && static_cast<size_t>(*max_steps) < plans_.size()) plans_.resize(static_cast<size_t>(*max_steps));
}

double Validation::run() const {
  const at::NoGradGuard no_grad;
  double sum = 0;
  int64_t count = 0;
  for (size_t number = 0; number < plans_.size(); ++number) {
    const auto batch = data::load_batch(dataset_, plans_[number], /*epoch=*/1, /*step=*/0, inputs_.needs_pixels());
    for (const int64_t timestep : validation_timesteps(step_.flow)) {
      // The timestep takes the place of the epoch in the draws' keys, so each has noise of its own, the same in every
      // run.
      const auto inputs = inputs_.encode(batch, timestep, static_cast<int64_t>(number));
      flow::FlowConfig fixed = step_.flow;
      fixed.min_timestep = fixed.max_timestep = timestep;
      const StepContext step{.flow = fixed,
                             .mmdit = step_.mmdit,
                             .runner = step_.runner,
                             .network = step_.network,
                             .draws = step_.draws,
                             .position_crop_rate = 0,
                             .rng = step_.rng,
                             .timestep_dtype = step_.timestep_dtype};
      sum += training_loss(step, inputs).item<double>();
      ++count;
    }
  }
  return count == 0 ? 0.0 : sum / static_cast<double>(count);
}

}  // namespace loraptor::train
