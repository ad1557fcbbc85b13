#include "optim/stable_adamw.h"

#include <algorithm>
#include <cmath>

#include "optim/factored_moment.h"
#include "optim/stateful_optimizer.h"

namespace loraptor::optim {
namespace {

struct StableAdamwSettings {
  double beta1, beta2, eps, weight_decay;
};

/// The decay rate of step t that makes a moment without bias correction equal to a corrected one.
double corrected_decay(double beta, double t) { return beta * (1 - std::pow(beta, t - 1)) / (1 - std::pow(beta, t)); }

class StableAdamW : public StatefulOptimizer {
 public:
  StableAdamW(std::vector<ParamGroup>& groups, std::string description, const StableAdamwSettings& settings)
      : StatefulOptimizer(groups, std::move(description)), s_(settings) {
    add_scalar("step", 0);
    add_buffer("exp_avg");
    add_buffer("exp_avg_sq");
  }

  void step(const std::vector<double>& lrs) override {
    at::NoGradGuard no_grad;
    const double t = ++scalar("step");
    const double keep_m = corrected_decay(s_.beta1, t), keep_v = corrected_decay(s_.beta2, t);
    for (size_t g = 0; g < groups_.size(); ++g) {
      auto& m = buffer(g, "exp_avg");
      auto& v = buffer(g, "exp_avg_sq");
      const auto& gradient = groups_[g].flat_grad;
      m.mul_(keep_m).add_(gradient, 1 - keep_m);
      v.mul_(keep_v).addcmul_(gradient, gradient, 1 - keep_v);
      for (const auto& parameter : groups_[g].parameters) move(g, parameter, lrs[g]);
    }
  }

 private:
  void move(size_t g, const Parameter& parameter, double lr) {
    const auto& group = groups_[g];
    auto p = part(group.flat, group, parameter);
    const auto gradient = part(group.flat_grad, group, parameter);
    const auto m = part(buffer(g, "exp_avg"), group, parameter);
    const auto v = part(buffer(g, "exp_avg_sq"), group, parameter);
    lr /= std::max(1.0, rms(gradient / v.clamp_min(s_.eps * s_.eps).sqrt_()));
    p.mul_(1 - lr * s_.weight_decay);
    p.addcdiv_(m, v.sqrt().add_(s_.eps), -lr);
  }

  StableAdamwSettings s_;
};

}  // namespace

std::unique_ptr<Optimizer> make_stable_adamw(OptimizerRequest& request) {
  auto& args = request.args;
  const auto betas = args.numbers("betas", {0.9, 0.99});
  StableAdamwSettings s{};
  s.beta1 = betas[0];
  s.beta2 = betas[1];
  s.eps = args.number("eps", 1e-8);
  s.weight_decay = args.number("weight_decay", 0.01);
  args.without_effect("kahan_sum", "updates are computed in float32");
  return std::make_unique<StableAdamW>(request.groups, request.described(), s);
}

}  // namespace loraptor::optim
