// How much each noise level counts in the loss.
#include "flow/loss_weighting.h"

#include <cmath>

namespace loraptor::flow {

at::Tensor loss_weighting(const FlowConfig& config, const at::Tensor& sigma) {
  if (config.weighting_scheme == "sigma_sqrt") return sigma.to(at::kFloat).clamp_min(1.0 / 1000).pow(-2);
  if (config.weighting_scheme == "cosmap") {
    const auto bottom = 1 - 2 * sigma + 2 * sigma.pow(2);
    return (2 / (M_PI * bottom)).to(at::kFloat);
  }
  return at::ones_like(sigma, sigma.options().dtype(at::kFloat));
}

}  // namespace loraptor::flow
