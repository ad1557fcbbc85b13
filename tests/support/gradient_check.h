// Checks of hand-written backward passes.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <vector>

namespace loraptor::test {

using TensorFunction = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

/// Expects equal results and equal gradients of sum(result * random) for every input, within a few units of the last
/// place of the dtypes involved (relative to the largest value of each tensor).
void expect_same_gradients(const TensorFunction& got, const TensorFunction& want,
                           const std::vector<at::Tensor>& inputs);

/// Expects the gradients of sum(result * random) to equal central differences along random directions, in float64.
void expect_numerical_gradients(const TensorFunction& function, const std::vector<at::Tensor>& inputs);

}  // namespace loraptor::test
