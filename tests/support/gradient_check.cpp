#include "support/gradient_check.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

namespace loraptor::test {
namespace {

std::vector<at::Tensor> leaves(const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> found;
  for (const auto& input : inputs) found.push_back(input.detach().requires_grad_());
  return found;
}

std::vector<at::Tensor> probes_like(const std::vector<at::Tensor>& outputs) {
  std::vector<at::Tensor> found;
  for (const auto& output : outputs) found.push_back(at::randn(output.sizes()).to(output.scalar_type()));
  return found;
}

void expect_near(const at::Tensor& got, const at::Tensor& want, double unit, const std::string& what) {
  ASSERT_EQ(got.sizes(), want.sizes()) << what;
  ASSERT_EQ(got.scalar_type(), want.scalar_type()) << what;
  const double size = want.abs().max().item<double>();
  const double error = (got.to(at::kDouble) - want.to(at::kDouble)).abs().max().item<double>();
  EXPECT_LE(error, unit * size) << what << ", largest value " << size;
}

double unit_of(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double unit = 1e-6;
  for (const auto& list : {a, b}) {
    for (const auto& t : list) unit = std::max(unit, t.scalar_type() == at::kBFloat16 ? 0.016 : 0.0);
  }
  return unit;
}

}  // namespace

void expect_same_gradients(const TensorFunction& got, const TensorFunction& want,
                           const std::vector<at::Tensor>& inputs) {
  const auto got_inputs = leaves(inputs), want_inputs = leaves(inputs);
  const auto got_outputs = got(got_inputs), want_outputs = want(want_inputs);
  const double unit = unit_of(inputs, want_outputs);
  ASSERT_EQ(got_outputs.size(), want_outputs.size());
  for (size_t i = 0; i < got_outputs.size(); ++i) {
    expect_near(got_outputs[i], want_outputs[i], unit, fmt::format("result {}", i));
  }
  const auto probes = probes_like(want_outputs);
  const auto got_gradients = torch::autograd::grad(got_outputs, got_inputs, probes);
  const auto want_gradients = torch::autograd::grad(want_outputs, want_inputs, probes);
  for (size_t i = 0; i < inputs.size(); ++i) {
    expect_near(got_gradients[i], want_gradients[i], unit, fmt::format("gradient of input {}", i));
  }
}

void expect_numerical_gradients(const TensorFunction& function, const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> doubles;
  for (const auto& input : inputs) doubles.push_back(input.to(at::kDouble));
  const auto variables = leaves(doubles);
  const auto outputs = function(variables);
  const auto probes = probes_like(outputs);
  const auto gradients = torch::autograd::grad(outputs, variables, probes);
  const auto value = [&](const std::vector<at::Tensor>& at_inputs) {
    at::NoGradGuard no_grad;
    const auto results = function(at_inputs);
    double sum = 0;
    for (size_t i = 0; i < results.size(); ++i) sum += (results[i] * probes[i]).sum().item<double>();
    return sum;
  };
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < inputs.size(); ++i) {
    for (int direction = 0; direction < 3; ++direction) {
      const auto along = at::randn(doubles[i].sizes(), at::kDouble);
      auto up = doubles, down = doubles;
      up[i] = doubles[i] + along * kStep;
      down[i] = doubles[i] - along * kStep;
      const double numerical = (value(up) - value(down)) / (2 * kStep);
      const double analytical = (gradients[i] * along).sum().item<double>();
      EXPECT_NEAR(analytical, numerical, 1e-6 * std::max(1.0, std::abs(numerical))) << "input " << i;
    }
  }
}

}  // namespace loraptor::test
