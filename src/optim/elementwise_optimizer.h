// Optimizers whose update treats every element alike: a function on a group's flat buffers is all they are.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "optim/optimizer_factory.h"
#include "optim/stateful_optimizer.h"

namespace loraptor::optim {

/// One group in one step, as seen by an update function. Tensors are float32 and 1-D; `p` is changed in place.
struct Elements {
  at::Tensor p;
  at::Tensor g;
  double lr;
  double t;         // 1, 2, ...
  double momentum;  // or first beta; of optimizers that let it be replaced
  std::function<at::Tensor&(const std::string&)> state;
};

class ElementwiseOptimizer : public StatefulOptimizer {
 public:
  using Update = std::function<void(Elements&)>;

  ///   buffers    names of the state buffers, with their initial values
  ///   momentum   what `update` sees as Elements::momentum until it is replaced; unset: it looks at none
  ElementwiseOptimizer(std::vector<ParamGroup>& groups, std::string description,
                       const std::vector<std::pair<std::string, double>>& buffers, Update update,
                       std::optional<double> momentum = {});

  void step(const std::vector<double>& lrs) override;
  bool set_momentum(double momentum) override;

 private:
  Update update_;
  std::optional<double> momentum_;
};

/// lion_pytorch: p *= 1 - lr*weight_decay; p -= lr*sign(beta1*m + (1-beta1)*g); m = beta2*m + (1-beta2)*g.
/// Arguments: betas (0.9, 0.99), weight_decay 0, decoupled_weight_decay False (True divides it by --learning_rate).
/// Ref: arXiv:2302.06675; lion-pytorch 0.2.3.
std::unique_ptr<Optimizer> make_lion(OptimizerRequest& request);

/// torch.optim.SGD: momentum 0, dampening 0, weight_decay 0, nesterov False, maximize False.
std::unique_ptr<Optimizer> make_sgd(OptimizerRequest& request);
/// The same with Nesterov momentum, 0.9 unless given.
std::unique_ptr<Optimizer> make_sgd_nesterov(OptimizerRequest& request);

/// Classes of torch.optim, with PyTorch 2.11's arguments and defaults (torch_optimizers.cpp).
std::unique_ptr<Optimizer> make_radam(OptimizerRequest& request);
std::unique_ptr<Optimizer> make_nadam(OptimizerRequest& request);
std::unique_ptr<Optimizer> make_adagrad(OptimizerRequest& request);
std::unique_ptr<Optimizer> make_rmsprop(OptimizerRequest& request);
std::unique_ptr<Optimizer> make_adamax(OptimizerRequest& request);
std::unique_ptr<Optimizer> make_adadelta(OptimizerRequest& request);

}  // namespace loraptor::optim
