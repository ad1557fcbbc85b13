// Which noise level each image of a batch is trained at.
#include "flow/timestep_sampling.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"

namespace loraptor::flow {

bool density_needs_normal(const FlowConfig& config) { return config.weighting_scheme == "logit_normal"; }

at::Tensor density_from_draws(const FlowConfig& config, const at::Tensor& draws) {
  LORAPTOR_ASSERT(draws.scalar_type() == at::kFloat);
  const std::string& scheme = config.weighting_scheme;
  if (scheme == "logit_normal") return at::sigmoid(draws * config.logit_std + config.logit_mean);
  if (scheme == "mode") {
    const auto bump = at::cos(draws * M_PI / 2).pow(2) - 1 + draws;
    return 1 - draws - config.mode_scale * bump;
  }
  if (scheme == "uniform" || scheme == "none" || scheme == "sigma_sqrt" || scheme == "cosmap") return draws;
  throw UsageError(fmt::format(
      "[--weighting_scheme] unknown scheme: got '{}', expected sigma_sqrt, logit_normal, mode, cosmap, none "
      "or uniform.",
      scheme));
}

at::Tensor timesteps_from_density(const FlowConfig& config, const at::Tensor& u) {
  const auto low = config.min_timestep.value_or(0), high = config.max_timestep.value_or(1000);
  if (low > high) {
    throw UsageError(
        fmt::format("[--min_timestep] limits are reversed: got min {} and max {}, expected min <= max.", low, high));
  }
  const double shift = config.training_shift;
  const auto shifted = u * shift / (1 + (shift - 1) * u);
  return at::trunc(shifted * static_cast<double>(high - low) + static_cast<double>(low));
}

at::Tensor sample_timesteps(int64_t batch, const FlowConfig& config, tensor::DrawSource& draws,
                            const tensor::BatchDraws& images) {
  if (const auto recorded = draws.recorded_timesteps(images)) {
    LORAPTOR_ASSERT(recorded->dim() == 1 && recorded->size(0) == batch);
    return recorded->to(at::kFloat);
  }
  const auto numbers = density_needs_normal(config) ? draws.timestep_normal(images) : draws.timestep_unit(images);
  LORAPTOR_ASSERT(numbers.dim() == 1 && numbers.size(0) == batch);
  return timesteps_from_density(config, density_from_draws(config, numbers));
}

}  // namespace loraptor::flow
