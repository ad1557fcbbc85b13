// Adam and AdamW in float32.
#include "optim/adam_family.h"

#include "optim/stateful_optimizer.h"

namespace loraptor::optim {
namespace {

struct AdamSettings {
  double beta1, beta2, eps, weight_decay;
  bool amsgrad, maximize, decoupled;
};

AdamSettings read_settings(KeywordArgs& args, double weight_decay, bool decoupled) {
  const auto betas = args.numbers("betas", {0.9, 0.999});
  for (const char* key : {"foreach", "capturable", "differentiable", "fused"}) {
    args.without_effect(key, "all updates are fused here");
  }
  return {betas[0],
          betas[1],
          args.number("eps", 1e-8),
          args.number("weight_decay", weight_decay),
          args.flag("amsgrad", false),
          args.flag("maximize", false),
          decoupled};
}

class Adam : public StatefulOptimizer {
 public:
  Adam(std::vector<ParamGroup>& groups, std::string description, const AdamSettings& settings)
      : StatefulOptimizer(groups, std::move(description)), settings_(settings) {
    add_scalar("step", 0);
    add_buffer("exp_avg");
    add_buffer("exp_avg_sq");
    if (settings_.amsgrad) add_buffer("max_exp_avg_sq");
  }

  void step(const std::vector<double>& lrs) override {
    at::NoGradGuard no_grad;
    const double t = ++scalar("step");
    const auto& s = settings_;
    for (size_t g = 0; g < groups_.size(); ++g) {
      const auto& group = groups_[g];
      const auto count = at::full({}, t, group.flat.options().dtype(at::kFloat));
      std::vector<at::Tensor> maxima;
      if (s.amsgrad) maxima.push_back(buffer(g, "max_exp_avg_sq"));
      const auto update = s.decoupled ? fused_adamw : fused_adam;
      update(group.flat, group.flat_grad, buffer(g, "exp_avg"), buffer(g, "exp_avg_sq"), maxima, count, lrs[g], s);
    }
  }

  bool set_momentum(double momentum) override {
    settings_.beta1 = momentum;
    return true;
  }

 private:
  static void fused_adamw(at::TensorList p, at::TensorList g, at::TensorList m, at::TensorList v, at::TensorList maxima,
                          at::TensorList steps, double lr, const AdamSettings& s) {
    at::_fused_adamw_(p, g, m, v, maxima, steps, lr, s.beta1, s.beta2, s.weight_decay, s.eps, s.amsgrad, s.maximize);
  }
  static void fused_adam(at::TensorList p, at::TensorList g, at::TensorList m, at::TensorList v, at::TensorList maxima,
                         at::TensorList steps, double lr, const AdamSettings& s) {
    at::_fused_adam_(p, g, m, v, maxima, steps, lr, s.beta1, s.beta2, s.weight_decay, s.eps, s.amsgrad, s.maximize);
  }

  AdamSettings settings_;
};

std::unique_ptr<Optimizer> make(OptimizerRequest& request, double weight_decay, bool decoupled) {
  const auto settings = read_settings(request.args, weight_decay, decoupled);
  return std::make_unique<Adam>(request.groups, request.described(), settings);
}

}  // namespace

std::unique_ptr<Optimizer> make_adamw(OptimizerRequest& request) { return make(request, 0.01, true); }
std::unique_ptr<Optimizer> make_adam(OptimizerRequest& request) {
  const bool decoupled = request.args.flag("decoupled_weight_decay", false);
  return make(request, 0, decoupled);
}

}  // namespace loraptor::optim
