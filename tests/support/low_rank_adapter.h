// A small adapter with fixed values, and gradient checks for models that carry it.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/linear.h"
#include "support/golden.h"

namespace loraptor::test {

/// Adds x down^T up^T with rank 2; values follow from the layer's path.
class LowRankAdapter : public nn::LinearAdapter {
 public:
  LowRankAdapter(const std::string& path, const nn::Linear& layer) {
    const auto values = [&](const std::string& key, int64_t rows, int64_t columns) {
      return unit_values(path + key, rows * columns).mul(0.1).to(at::kFloat).view({rows, columns}).requires_grad_(true);
    };
    down = values("/down", 2, layer.in_features());
    up = values("/up", layer.out_features(), 2);
  }
  at::Tensor forward(const at::Tensor& x, const nn::WeightStorage& weight, const at::Tensor& bias) const override {
    return at::linear(x, weight.read(), bias) + at::linear(at::linear(x, down), up);
  }
  std::vector<at::Tensor> parameters() const override { return {down, up}; }

  at::Tensor down, up;
};

using Adapters = std::vector<std::shared_ptr<LowRankAdapter>>;

/// Gradients of `loss` with respect to all adapters' tensors, in order.
inline std::vector<at::Tensor> adapter_gradients(const Adapters& adapters, const std::function<at::Tensor()>& loss) {
  std::vector<at::Tensor> gradients;
  for (const auto& adapter : adapters) adapter->down.mutable_grad() = adapter->up.mutable_grad() = at::Tensor();
  loss().backward();
  for (const auto& adapter : adapters) {
    for (const auto& tensor : adapter->parameters()) gradients.push_back(tensor.grad().clone());
  }
  return gradients;
}

/// Expects the gradients to be equal up to the order in which a residual stream's parts are summed.
inline void expect_equal_gradients(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_LE((got[i] - want[i]).norm().item<double>(), 1e-5 * want[i].norm().item<double>()) << "tensor " << i;
  }
}

/// Compares the derivative along one direction with a central difference, for each tensor that gradients belong to.
/// A layer that adds nothing to the loss has gradient zero.
inline void check_adapter_gradients(const Adapters& adapters, const std::function<at::Tensor()>& loss) {
  const auto gradients = adapter_gradients(adapters, loss);
  const at::NoGradGuard no_grad;
  const double step = 2e-2;
  size_t at = 0;
  for (const auto& adapter : adapters) {
    for (auto tensor : adapter->parameters()) {
      const auto& gradient = gradients[at++];
      const double norm = gradient.norm().item<double>();
      if (norm == 0) continue;
      const auto direction = gradient / norm;
      tensor.add_(direction, step);
      const double above = loss().item<double>();
      tensor.add_(direction, -2 * step);
      const double below = loss().item<double>();
      tensor.add_(direction, step);
      EXPECT_NEAR((above - below) / (2 * step), norm, 0.02 * norm + 2e-5) << "tensor " << at - 1;
    }
  }
}

}  // namespace loraptor::test
