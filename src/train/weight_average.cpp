#include "train/weight_average.h"

#include <ATen/core/grad_mode.h>

namespace loraptor::train {

WeightAverage::WeightAverage(const network::Network& network, double decay)
    : network_(network),
      decay_(decay),
      values_(network.flat_values().detach().to(at::kFloat, /*non_blocking=*/false, /*copy=*/true)) {}

void WeightAverage::update(int64_t updates) {
  const at::NoGradGuard no_grad;
  const auto n = static_cast<double>(updates);
  const double decay = std::min(decay_, (1 + n) / (10 + n));
  values_.lerp_(network_.flat_values().to(at::kFloat), 1 - decay);
}

void WeightAverage::restore(const at::Tensor& values) {
  const at::NoGradGuard no_grad;
  values_.copy_(values);
}

void WeightAverage::while_in_place(const std::function<void()>& work) const {
  const at::NoGradGuard no_grad;
  at::Tensor weights = network_.flat_values();
  const at::Tensor kept = weights.clone();
  weights.copy_(values_);
  try {
    work();
  } catch (...) {
    weights.copy_(kept);
    throw;
  }
  weights.copy_(kept);
}

}  // namespace loraptor::train
