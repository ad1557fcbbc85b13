// A few parameters with fixed gradients, for optimizers that are tested against their formula.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "optim/optimizer.h"
#include "support/golden.h"

namespace loraptor::test {

/// One group: a wide and a tall matrix, a kernel, a vector; in float32 or another dtype.
class SmallParameters {
 public:
  explicit SmallParameters(at::ScalarType dtype = at::kFloat) {
    const std::map<std::string, std::vector<int64_t>> shapes{
        {"down", {3, 40}}, {"up", {48, 3}}, {"kernel", {4, 2, 3, 3}}, {"vector", {7}}};
    int64_t total = 0;
    for (const auto& [name, shape] : shapes) total += c10::multiply_integers(shape);
    const optim::FlatBuffer buffer(total, at::TensorOptions(dtype));
    optim::ParamGroup group{"unet", 0, buffer.values(), buffer.gradients(), {}};
    int64_t offset = 0;
    const at::NoGradGuard no_grad;
    for (const auto& [name, shape] : shapes) {
      auto leaf = buffer.leaf(offset, shape);
      leaf.copy_((unit_values("small/" + name, leaf.numel()) * 0.5).view(shape));
      offset += leaf.numel();
      group.parameters.push_back({name, leaf});
    }
    groups_.push_back(std::move(group));
  }

  std::vector<optim::ParamGroup>& groups() { return groups_; }
  at::Tensor values() const { return groups_[0].flat.detach().clone(); }

  /// The gradient of a parameter in step t (from 1), float64.
  static at::Tensor gradient(const std::string& name, const at::Tensor& like, int t) {
    const auto drift = unit_values("small/drift/" + name, like.numel());
    const auto noise = unit_values("small/noise/" + name + std::to_string(t), like.numel());
    return (drift * 0.3 + noise * 0.5).mul_(0.1 * (1 + t % 3)).view(like.sizes());
  }

  void set_gradients(int t) {
    const at::NoGradGuard no_grad;
    for (auto& p : groups_[0].parameters) p.value.grad().copy_(gradient(p.name, p.value, t));
  }

  void step(optim::Optimizer& optimizer, int from, int to, double lr) {
    for (int t = from; t <= to; ++t) {
      set_gradients(t);
      optimizer.step({lr});
    }
  }

  /// Runs steps 1 … steps of `formula` on a float64 copy of every parameter and expects the same values.
  ///   formula   formula(parameter, gradient, t) changes the parameter in place
  template <class Formula>
  void expect_formula(optim::Optimizer& optimizer, int steps, double lr, Formula formula) {
    std::map<std::string, at::Tensor> want;
    for (const auto& p : groups_[0].parameters) want[p.name] = p.value.detach().to(at::kDouble).clone();
    for (int t = 1; t <= steps; ++t) {
      set_gradients(t);
      optimizer.step({lr});
      for (auto& p : groups_[0].parameters) {
        formula(p.name, want[p.name], gradient(p.name, p.value, t), t);
        const double error = (p.value.detach().to(at::kDouble) - want[p.name]).abs().max().template item<double>();
        EXPECT_LT(error, 2e-6 * t) << p.name << " after step " << t;
      }
    }
  }

 private:
  std::vector<optim::ParamGroup> groups_;
};

inline std::unique_ptr<optim::Optimizer> small_optimizer(SmallParameters& parameters, const std::string& type,
                                                         const std::vector<std::string>& args = {}, uint64_t seed = 0) {
  optim::OptimizerConfig config;
  config.optimizer_type = type;
  config.optimizer_args = args;
  return optim::create_optimizer(config, parameters.groups(), seed);
}

}  // namespace loraptor::test
