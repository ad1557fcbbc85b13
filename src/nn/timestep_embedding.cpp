#include "nn/timestep_embedding.h"

#include <cmath>

#include "base/error.h"

namespace loraptor::nn {

at::Tensor timestep_sincos(const at::Tensor& timesteps, int64_t channels) {
  LORAPTOR_ASSERT(timesteps.dim() == 1 && channels % 2 == 0);
  const int64_t half = channels / 2;
  const auto options = timesteps.options().dtype(at::kFloat);
  const auto frequencies = at::exp(at::arange(half, options) * (-std::log(10000.0) / static_cast<double>(half)));
  const auto angles = timesteps.to(at::kFloat).unsqueeze(1) * frequencies;  // [B,1] * [half] -> [B,half]
  return at::cat({angles.cos(), angles.sin()}, 1);
}

}  // namespace loraptor::nn
