// Further classes of torch.optim: RAdam, NAdam, Adagrad, RMSprop, Adamax, Adadelta.
#include <cmath>

#include "optim/elementwise_optimizer.h"

namespace loraptor::optim {
namespace {

using Buffers = std::vector<std::pair<std::string, double>>;

struct Common {
  double weight_decay;
  bool decoupled, maximize;

  /// The gradient with sign and coupled decay; decoupled decay is applied to p.
  at::Tensor gradient(Elements& e) const {
    at::Tensor g = maximize ? e.g.neg() : e.g;
    if (weight_decay == 0) return g;
    if (!decoupled) return g.add(e.p, weight_decay);
    e.p.mul_(1 - e.lr * weight_decay);
    return g;
  }
};

Common read_common(KeywordArgs& args, bool may_decouple) {
  for (const char* key : {"foreach", "capturable", "differentiable", "fused"}) {
    args.without_effect(key, "all updates are fused here");
  }
  return {args.number("weight_decay", 0), may_decouple && args.flag("decoupled_weight_decay", false),
          args.flag("maximize", false)};
}

std::unique_ptr<Optimizer> make(OptimizerRequest& request, const Buffers& buffers, ElementwiseOptimizer::Update update,
                                std::optional<double> momentum = {}) {
  return std::make_unique<ElementwiseOptimizer>(request.groups, request.described(), buffers, std::move(update),
                                                momentum);
}

}  // namespace

/// Ref: arXiv:1908.03265.
std::unique_ptr<Optimizer> make_radam(OptimizerRequest& request) {
  const auto betas = request.args.numbers("betas", {0.9, 0.999});
  const double eps = request.args.number("eps", 1e-8);
  const Common common = read_common(request.args, true);
  return make(
      request, {{"exp_avg", 0}, {"exp_avg_sq", 0}},
      [=](Elements& e) {
        const at::Tensor g = common.gradient(e);
        auto& m = e.state("exp_avg");
        auto& v = e.state("exp_avg_sq");
        m.mul_(e.momentum).add_(g, 1 - e.momentum);
        v.mul_(betas[1]).addcmul_(g, g, 1 - betas[1]);
        const double b1 = 1 - std::pow(e.momentum, e.t), b2 = 1 - std::pow(betas[1], e.t);
        const double rho_limit = 2 / (1 - betas[1]) - 1, rho = rho_limit - 2 * e.t * std::pow(betas[1], e.t) / b2;
        if (rho <= 5) {
          e.p.sub_(m, e.lr / b1);
          return;
        }
        const double rectify = std::sqrt((rho - 4) * (rho - 2) * rho_limit / ((rho_limit - 4) * (rho_limit - 2) * rho));
        e.p.addcdiv_(m, v.sqrt().add_(eps), -e.lr / b1 * rectify * std::sqrt(b2));
      },
      betas[0]);
}

/// Ref: Dozat 2016. The product of the momentum factors follows from the step, so it is no state of its own.
std::unique_ptr<Optimizer> make_nadam(OptimizerRequest& request) {
  const auto betas = request.args.numbers("betas", {0.9, 0.999});
  const double eps = request.args.number("eps", 1e-8), momentum_decay = request.args.number("momentum_decay", 4e-3);
  const Common common = read_common(request.args, true);
  const auto mu = [=](double t) { return betas[0] * (1 - 0.5 * std::pow(0.96, t * momentum_decay)); };
  return make(request, {{"exp_avg", 0}, {"exp_avg_sq", 0}}, [=](Elements& e) {
    const at::Tensor g = common.gradient(e);
    auto& m = e.state("exp_avg");
    auto& v = e.state("exp_avg_sq");
    double mu_product = 1;
    for (double t = 1; t <= e.t; ++t) mu_product *= mu(t);
    const double now = mu(e.t), next = mu(e.t + 1);
    m.mul_(betas[0]).add_(g, 1 - betas[0]);
    v.mul_(betas[1]).addcmul_(g, g, 1 - betas[1]);
    const at::Tensor denominator = (v / (1 - std::pow(betas[1], e.t))).sqrt_().add_(eps);
    e.p.addcdiv_(g, denominator, -e.lr * (1 - now) / (1 - mu_product));
    e.p.addcdiv_(m, denominator, -e.lr * next / (1 - mu_product * next));
  });
}

/// Ref: Duchi, Hazan, Singer 2011.
std::unique_ptr<Optimizer> make_adagrad(OptimizerRequest& request) {
  const double lr_decay = request.args.number("lr_decay", 0), eps = request.args.number("eps", 1e-10);
  const double initial = request.args.number("initial_accumulator_value", 0);
  const Common common = read_common(request.args, false);
  return make(request, {{"sum", initial}}, [=](Elements& e) {
    const at::Tensor g = common.gradient(e);
    auto& sum = e.state("sum");
    sum.addcmul_(g, g, 1);
    e.p.addcdiv_(g, sum.sqrt().add_(eps), -e.lr / (1 + (e.t - 1) * lr_decay));
  });
}

std::unique_ptr<Optimizer> make_rmsprop(OptimizerRequest& request) {
  const double alpha = request.args.number("alpha", 0.99), eps = request.args.number("eps", 1e-8);
  const double momentum = request.args.number("momentum", 0);
  const bool centered = request.args.flag("centered", false);
  const Common common = read_common(request.args, false);
  Buffers buffers = {{"square_avg", 0}};
  if (momentum > 0) buffers.emplace_back("momentum_buffer", 0);
  if (centered) buffers.emplace_back("grad_avg", 0);
  return make(request, buffers, [=](Elements& e) {
    const at::Tensor g = common.gradient(e);
    auto& square = e.state("square_avg");
    square.mul_(alpha).addcmul_(g, g, 1 - alpha);
    at::Tensor root;
    if (centered) {
      auto& mean = e.state("grad_avg");
      mean.lerp_(g, 1 - alpha);
      root = square.addcmul(mean, mean, -1).sqrt_().add_(eps);
    } else {
      root = square.sqrt().add_(eps);
    }
    if (momentum > 0) {
      auto& b = e.state("momentum_buffer");
      b.mul_(momentum).addcdiv_(g, root);
      e.p.sub_(b, e.lr);
    } else {
      e.p.addcdiv_(g, root, -e.lr);
    }
  });
}

/// Ref: arXiv:1412.6980 section 7.1.
std::unique_ptr<Optimizer> make_adamax(OptimizerRequest& request) {
  const auto betas = request.args.numbers("betas", {0.9, 0.999});
  const double eps = request.args.number("eps", 1e-8);
  const Common common = read_common(request.args, false);
  return make(
      request, {{"exp_avg", 0}, {"exp_inf", 0}},
      [=](Elements& e) {
        const at::Tensor g = common.gradient(e);
        auto& m = e.state("exp_avg");
        auto& largest = e.state("exp_inf");
        m.lerp_(g, 1 - e.momentum);
        at::maximum_out(largest, largest.mul_(betas[1]), g.abs().add_(eps));
        e.p.addcdiv_(m, largest, -e.lr / (1 - std::pow(e.momentum, e.t)));
      },
      betas[0]);
}

/// Ref: arXiv:1212.5701.
std::unique_ptr<Optimizer> make_adadelta(OptimizerRequest& request) {
  const double rho = request.args.number("rho", 0.9), eps = request.args.number("eps", 1e-6);
  const Common common = read_common(request.args, false);
  return make(request, {{"square_avg", 0}, {"acc_delta", 0}}, [=](Elements& e) {
    const at::Tensor g = common.gradient(e);
    auto& square = e.state("square_avg");
    auto& accumulated = e.state("acc_delta");
    square.mul_(rho).addcmul_(g, g, 1 - rho);
    const at::Tensor delta = accumulated.add(eps).sqrt_().div_(square.add(eps).sqrt_()).mul_(g);
    accumulated.mul_(rho).addcmul_(delta, delta, 1 - rho);
    e.p.sub_(delta, e.lr);
  });
}

}  // namespace loraptor::optim
